// What went wrong, in words, and the way on. Pure: a table from an error, as it is stored with an answer, to what is shown.

// Ways on: "key" (give one), "again" (ask again), "fresh" (begin a new conversation).
const BY_CODE = {
  unreachable: {
    title: "The server cannot be reached.",
    detail: "Check that it is running, and that this device is connected to it.",
    ways: ["again"],
  },
  broken_off: { title: "The answer broke off.", detail: "What had arrived is kept above.", ways: ["again"] },
  not_begun: { title: "The page was left before the answer began.", ways: ["again"] },
  stream_gone: { title: "The answer broke off.", detail: "The server does not have the rest of it any more.", ways: ["again"] },
  stream_not_found: { title: "The answer broke off.", detail: "The server does not have the rest of it any more.", ways: ["again"] },
  checksum_mismatch: { title: "This is not the text that the server sent.", detail: "Something on the way changed it.", ways: ["again"] },
  invalid_api_key: { title: "This server wants a key.", ways: ["key"] },
  model_not_found: { title: "This model is not served here.", detail: "Pick another one at the top, then ask again.", ways: ["again"] },
  images_not_supported: { title: "This model cannot see images.", detail: "Pick one that can at the top, then ask again.", ways: ["again"] },
  context_length_exceeded: {
    title: "The conversation has grown too long for this model.",
    detail: "Begin a new one, or edit an earlier message to continue from there.",
    ways: ["fresh"],
  },
  body_too_large: {
    title: "That is more than the server takes.",
    detail: "Send a shorter text, or fewer and smaller images.",
    ways: ["fresh"],
  },
  upstreams_unavailable: { title: "Nothing answers as this model at present.", ways: ["again"] },
  shutting_down: { title: "The server is shutting down.", detail: "It may be back in a moment.", ways: ["again"] },
};

const BY_STATUS = {
  401: BY_CODE.invalid_api_key,
  413: BY_CODE.body_too_large,
  429: { title: "Too many requests at once.", ways: ["again"] },
  502: { title: "The model did not answer.", ways: ["again"] },
  503: { title: "The server is busy.", ways: ["again"] },
  504: { title: "The model took too long to answer.", ways: ["again"] },
};

const OTHERWISE = { title: "Something went wrong.", ways: ["again"] };

/** `{title, detail, said, ways}`: `said` is the server's own word, where it has one. */
export function explain({ code, status, message, retryAfter }) {
  const found = BY_CODE[code] ?? BY_STATUS[status] ?? OTHERWISE;
  const later = retryAfter ? `Try again in ${retryAfter === 1 ? "a second" : `${retryAfter} seconds`}.` : "";
  return { detail: later, said: message ?? "", ...found };
}

/** How the server says that it stopped an answer (`events.REPEATED`). */
const REPEATED = "the answer repeated itself, and was stopped";

/** What is worth saying of the way that an answer ended; null where it simply ended. */
export function remark(answer) {
  if (answer.state === "stopped") return "You stopped this answer.";
  if (answer.state !== "done") return null;
  if (answer.evidence?.notes?.includes(REPEATED)) return "The answer repeated itself, and was stopped. Ask again, or in other words.";
  return (
    {
      length: "The answer reached its greatest length. You can raise it in the settings, or write “go on”.",
      content_filter: "The model’s provider withheld the rest of this answer.",
      tool_calls: "The model wanted to use a tool, and this page has none.",
    }[answer.finish] ?? (answer.text || answer.reasoning ? null : "The model said nothing.")
  );
}
