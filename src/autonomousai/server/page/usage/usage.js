// The page of usage: asks the server for its sums with an admin key, and shows them. The key lives in this tab alone.

import { byName, drawAcross, el, everyDay, overDays } from "./plots.js";

const SUMS = new URL("../../admin/usage", import.meta.url); // this file is ROOT/page/usage/usage.js
const KEY = "autonomousai.admin-key";
/** Pixels of padding and border around a plot, on both sides (usage.css). */
const FRAME = 34;

const $ = (selector) => document.querySelector(selector);

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dollars = (number) => `$${number >= 100 ? number.toFixed(0) : number.toFixed(number && number < 0.1 ? 4 : 2)}`;
const percent = (number) => `${(100 * number).toFixed(number && number < 0.1 ? 1 : 0)} %`;

/** What answers without a known price cost is not known. */
const cost = (number, row) => (row?.unpriced ? (number ? `${dollars(number)} + ?` : "?") : dollars(number));

const spend = { label: "spend", of: (row) => row.cost, show: cost };
const answers = { label: "answers", of: (row) => row.answers, show: (number) => whole.format(number) };
const prompt = { label: "prompt", of: (row) => row.prompt_tokens, show: (number) => short.format(number) };
const completion = { label: "completion", kind: "second", of: (row) => row.completion_tokens, show: prompt.show };
const lost = { label: "lost", kind: "bad", of: (row) => row.lost_tokens, show: prompt.show };
const tokens = { label: "tokens", of: (row) => row.prompt_tokens + row.completion_tokens + row.lost_tokens, show: prompt.show };
const unpriced = { label: "without a price", kind: "bad", of: (row) => row.unpriced, show: answers.show };
const ms = (number) => `${Math.round(number)} ms`;
const median = { label: "median ms to the first token", of: (row) => row.first_p50_ms ?? 0, show: ms };
const late = { label: "95th percentile", of: (row) => row.first_p95_ms ?? 0, show: ms };
const average = { label: "average", of: (row) => row.first_ms ?? 0, show: ms };
const failure = { label: "failed", kind: "bad", of: (row) => (row.answers ? row.failed / row.answers : 0), show: percent };

async function sums(by) {
  const url = new URL(SUMS);
  url.searchParams.set("by", by);
  url.searchParams.set("since", $("#since").value);
  url.searchParams.set("timezone", Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC");
  const response = await fetch(url, { headers: { authorization: `Bearer ${$("#key").value}` }, cache: "no-store" });
  const body = await response.json().catch(() => null);
  if (response.status === 401) throw new Error("This admin key was not accepted.");
  if (!response.ok) throw new Error(body?.error?.message ?? `the server answered ${response.status}`);
  return body;
}

function state(text, failed = false) {
  $("#state").textContent = text;
  $("#state").classList.toggle("error", failed);
}

function totals(total, zone) {
  const shown = [
    ["Spend", cost(total.cost, total)],
    ["Answers", whole.format(total.answers)],
    ["Failed", percent(total.answers ? total.failed / total.answers : 0)],
    ["Prompt tokens", short.format(total.prompt_tokens)],
    ["Completion tokens", short.format(total.completion_tokens)],
    ["Lost tokens", short.format(total.lost_tokens)],
  ];
  $("#totals").replaceChildren(...shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  const more = total.unpriced ? `; ${whole.format(total.unpriced)} answers have no known price, and are not in the spend` : "";
  state(`Days of ${zone}${more}.`);
}

/** Draws the plots that are shown. */
let draw = () => {};

async function show() {
  state("Loading …");
  try {
    const [days, keys, models, upstreams] = await Promise.all(["day", "key", "model", "upstream"].map(sums));
    sessionStorage.setItem(KEY, $("#key").value);
    totals(days.total, days.timezone);
    $("#report").hidden = false;
    draw = () => plot(days, keys, models, upstreams);
    draw();
  } catch (error) {
    $("#report").hidden = true;
    draw = () => {};
    sessionStorage.removeItem(KEY);
    state(error.message, true);
  }
}

function plot(days, keys, models, upstreams) {
  drawAcross(room());
  const rows = everyDay(days.data);
  $("#plots").replaceChildren(
    overDays("Spend by day", rows, [spend]),
    overDays("Tokens by day", rows, [prompt, completion, lost]),
    byName("Spend by key", keys.data, spend, [answers, unpriced]),
    byName("Tokens by key", keys.data, tokens, [prompt, completion, lost]),
    byName("Spend by model", models.data, spend, [answers, unpriced]),
    byName("Tokens by model", models.data, tokens, [prompt, completion, lost]),
    byName("First token by upstream", upstreams.data, median, [late, average, answers]),
    byName("Failures by upstream", upstreams.data, failure, [answers]),
  );
}

/** Pixels between the frames of a column. */
const room = () => parseFloat(getComputedStyle($("#plots")).gridTemplateColumns) - FRAME;

let drawnFor = innerWidth;

addEventListener("resize", () => {
  if (innerWidth === drawnFor) return; // a phone's bars come and go
  drawnFor = innerWidth;
  draw();
});

$("#question").addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});
$("#since").addEventListener("change", () => $("#key").value && show());
$("#key").value = sessionStorage.getItem(KEY) ?? "";
if ($("#key").value) show();
