"""Make docs/reference/config.md, http.md, fields.md and vendors.md from the program: ``python docs/make_reference.py``. A test
compares them.

Types and defaults come from the structs of `autonomousai.config` and the registry of kinds, the words beside them from the TOML
in configuration.md, HTTP from the document that the server publishes, the fields from the tables of the wires, and the vendors
from the table of the clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect
from translation_page import translation_page

from autonomousai import config
from autonomousai.clients.vendors import FACTS_OF, VENDORS, Vendor
from autonomousai.kinds.registry import KINDS
from autonomousai.request import OPTION_NAMES
from autonomousai.server.openapi.admin import SCHEMAS
from autonomousai.server.openapi.document import make_document
from autonomousai.wires.fields import FieldTable, FieldUse, RequestField
from autonomousai.wires.registry import WIRES

DOCS = Path(__file__).parent

TABLES: dict[str, type[msgspec.Struct]] = {
    "server": config.ServerConfig,
    "clocks": config.Clocks,
    "retry": config.RetryConfig,
    "breaker": config.BreakerConfig,
    "health": config.HealthConfig,
    "rescue": config.RescueConfig,
    "resume": config.ResumeConfig,
    "responses": config.ResponsesConfig,
    "telemetry": config.TelemetryConfig,
    "engine": config.EngineConfig,
    "ledger": config.LedgerConfig,
    "prices.NAME": config.PriceConfig,
    **{f"upstreams.NAME, kind = {name}": struct for name, struct in KINDS.items()},
    "models.NAME": config.ModelConfig,
    "keys.NAME": config.KeyConfig,
}

#: What the TOML of configuration.md has no words for.
WORDS = {
    "models_dir": "a folder of GGUF files, each served by its name",
    "host": "the address to listen on",
    "cors_origins": "pages that may ask from a browser: origins such as `https://chat.example.org`, or `*`",
    "connect": "to a connection, with TLS and proxy",
    "total": "the complete answer",
    "clocks": "its own timeouts, laid over the general ones",
    "expires": "when it stops opening, such as `2027-01-31` or `2027-01-31T18:00:00Z`",
    "requests_per_minute": "requests in any 60 seconds; absent: no limit, as for the others",
    "tokens_per_minute": "tokens in any 60 seconds, those of prompts and answers together",
    "budget": "US dollars in a `budget_period`",
    "token_budget": "tokens in a `budget_period`",
    "max_concurrency": "answers at once",
    "key": "the key, or `env:NAME`",
    "hash": "in place of `key`: `sha256:` and the key's SHA-256 in hexadecimal digits",
    "aliases": "other names that callers may use",
    "route": "upstreams in order of preference; `[]`: not served",
    "policy": "which of them is asked first: see [policies](../guides/policies.md)",
    "sticky": "whether the turns of a conversation go to the same upstream; not with the policy `order`",
    "hedge": "the part of the requests for which a second upstream may be asked where the first is slow, such as `0.05`",
    "over_budget": "upstreams that answer callers whose key has spent its budget, in order; `[]`: they are refused",
    "weight": "its part of the requests, beside those of others of a route; 0: asked only where others cannot be",
    "base_url": "where its paths begin; for `openai` it usually ends in `/v1`, and may have a query; absent: the vendor's",
    "vendor": "whose server it is: a row of [the vendors](vendors.md)",
    "api_key": "the key that it wants, or `env:NAME`; absent: the vendor's variable",
    "model": "the name sent upstream; absent: the caller's",
    "context": "tokens; absent: unknown",
    "price": "what its tokens cost, as in `[prices]`; counts before that",
}

CONFIG_HEAD = """\
# Every key of the config

Made from the program by `python docs/make_reference.py`. [How to use them](../configuration.md); `autonomousai config show`
prints the values that a file results in. Times are in seconds. Where a key is requested, `"env:NAME"` takes it from the
environment, and `"keyring:NAME"` from the [system's keyring](../guides/keys.md#the-systems-keyring).
"""

HTTP_HEAD = """\
# HTTP

Made from the server's own description by `python docs/make_reference.py`. A running server has it whole, with every field of
every document: at `/openapi.json` for programs, at `/docs` for people.
"""


FIELDS_HEAD = """\
# Every field of a request

Made from the tables of the APIs by `python docs/make_reference.py`. The server checks that a field is well-formed, by its
type; null is the same as leaving it out. Whether a value is in range is for the upstream to say: it gets what you sent, also
fields that have no row here. The embedded engine (`llamacpp`) refuses what it cannot do, with a 400 that names the field; so
does the Messages API (`anthropic`) with what nothing in it stands for.
What `Message`, `Tool` and their like hold is shown by a running server at `/docs`.

In the columns of the kinds of upstreams, *passed on*: unchanged; *honoured*: within these bounds; *left out*: accepted, it
changes nothing there; *400*: refused. On every kind, the names of options of clients are a 400: OPTIONS.
"""


VENDORS_HEAD = """\
# Vendors

Made from the table of the clients by `python docs/make_reference.py`; the facts in it are those of FACTS_OF, as the vendors
and the sources of these servers state them. A vendor is a row: `vendor = "groq"` in an upstream of the kind `openai`, or
`OpenAICompatible(vendor="groq")`. What you write yourself, `base_url`, `api_key` or `prefill`, wins over its row.

- *base URL*: where it is asked. Where there is none, write `base_url`. A query in it goes with each request. For `openai`,
  clients and `autonomousai chat` read another one from `OPENAI_BASE_URL` (and `Anthropic()`, `chat --vendor anthropic` from
  `ANTHROPIC_BASE_URL`, `Gemini()` from `GOOGLE_GEMINI_BASE_URL`); a config does not.
- *key*: the environment variable that holds it; one that is not set is an error at the start that names it. It is sent as
  `Authorization: Bearer`, unless another header is named.
- *limit*: the name that the vendor gives to the most tokens of an answer, whichever your caller uses. Blank: your caller's.
- *continues*: what a request says that continues an answer from its beginning, as [a rescue](../dependability.md) does. Blank:
  found out when it matters.
- *reasoning*: where its reasoning stands. Any of these is read from any vendor.
- *back*: whether it takes its reasoning back in the messages of the assistant, as some want it with calls of tools. Blank:
  found out when it matters.
- *embeddings*: whether it has them. Blank: not known here.
- *ids of calls*: `mistral` takes ids of tool calls of nine letters and digits alone; others are replaced, a call's and its
  result's alike.

`autonomousai chat --vendor groq --model NAME` asks one from the command line. What no row says is found out as before:
[servers that do not follow the book](../guides/odd-servers.md).
`autonomousai doctor --upstream URL` knows a vendor by its host, by the owner of its models or by its headers, and prints its
section.

Azure has an address for each customer: `base_url = "https://NAME.openai.azure.com/openai/v1"`, or with the version in the
query, `base_url = "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21"`. With a token of Entra
ID in place of a key, Python callers pass `headers={"Authorization": "Bearer …"}`.

Amazon Bedrock has one for each region: `base_url = "https://bedrock-mantle.REGION.api.aws/v1"`, with an API key of Bedrock.
""".replace("FACTS_OF", FACTS_OF)


def config_page() -> str:
    said = written_words()
    parts = [CONFIG_HEAD]
    for name, struct in TABLES.items():
        parts += [f"{heading(name)}\n", text_of(struct)]
        rows = [
            f"| `{field.name}` | {kind_of(field.type)} | {default_of(field)} | {words_of(name, field.name, said)} |"
            for field in fields(struct)
        ]
        parts += ["\n".join(["| key | type | default | what |", "|---|---|---|---|", *rows]) + "\n"]
    return "\n".join(parts)


def heading(name: str) -> str:
    table, _, kind = name.partition(", kind = ")
    return f"## `[{table}]`" + (f" of the kind `{kind}`" if kind else "")


def fields(struct: type[msgspec.Struct]) -> tuple[msgspec.inspect.Field, ...]:
    shown = msgspec.inspect.type_info(struct)
    assert isinstance(shown, msgspec.inspect.StructType)
    return shown.fields


def text_of(struct: type[msgspec.Struct]) -> str:
    return " ".join((struct.__doc__ or "").split()).replace("``", "`") + "\n"


def kind_of(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            name = "whole number" if isinstance(kind, msgspec.inspect.IntType) else "number"
            least = f", at least {kind.ge:g}" if kind.ge is not None else f", above {kind.gt:g}" if kind.gt is not None else ""
            return name + least
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return f"list of {kind_of(kind.item_type)}s"
        case msgspec.inspect.UnionType():
            return " or ".join(kind_of(each) for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
        case msgspec.inspect.CustomType():
            return "key"
        case msgspec.inspect.StructType() | msgspec.inspect.DictType():
            return "table"
        case msgspec.inspect.DateTimeType():
            return "time"
    return "text"


def default_of(field: msgspec.inspect.Field) -> str:
    if field.required:
        return "*needed*"
    if field.default_factory is dict:
        return "`{}`"
    value = field.default
    if isinstance(value, msgspec.Struct):
        changed = [name for name in value.__struct_fields__ if getattr(value, name) != getattr(config.Clocks(), name)]
        return ", ".join(f"`{name} = {getattr(value, name)}`" for name in changed) or "the general ones"
    if value is None:
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return "`[]`" if value == () else f"`{value:_}`" if isinstance(value, int) and value >= 100_000 else f"`{value}`"


def written_words() -> dict[tuple[str, str], str]:
    """The comments of the TOML in configuration.md that has every key: by table (an upstream's is its kind) and key."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8").partition("## Every key")[2]
    table = ""
    said = {}
    for line in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0].splitlines():
        if (match := re.match(r"\[([\w.]+)\]", line)) or (match := re.match(r'kind = "(\w+)"', line)):
            table = match[1]
        elif match := re.match(r"(\w+) = .*?(?:  # (.*))?$", line):
            said[table, match[1]] = match[2] or ""
    return said


def words_of(table: str, key: str, said: dict[tuple[str, str], str]) -> str:
    words = said.get((table.rpartition("kind = ")[2].replace("keys.NAME", "keys.shop"), key)) or WORDS.get(key, "")
    return words.replace("|", "\\|").replace("see observability.md", "see [there](../observability.md)")


def http_page() -> str:
    document = make_document(vision=True, asks_key=True)
    parts = [HTTP_HEAD, document["info"]["description"] + "\n"]
    told: dict[str, str] = {}
    for tag in document["tags"]:
        parts.append(f"## {tag['name']}\n")
        parts += [operation_text(*each, told) for each in operations(document) if each[2]["tags"] == [tag["name"]]]
    return "\n".join(parts)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method.upper(), operation


def operation_text(path: str, method: str, operation: dict[str, Any], told: dict[str, str]) -> str:
    """*told*: by answers, the operation that has been told with the same ones."""
    summary = operation["summary"].rstrip("?")
    asks = "" if "security" not in operation else " Asks for an admin key." if operation["security"] else " Asks for no key."
    lines = [f"### `{method} {path}`\n", f"{summary}.{asks}", ""]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        named = ", ".join(f"`{name}`" for name in SCHEMAS[schema]["properties"]) if schema in SCHEMAS else ""
        lines += [f"- body: {named or f'[{schema}](fields.md#{schema.lower()})'}"]
    lines += [f"- {each['in']} `{each['name']}`: {each['description']}" for each in operation.get("parameters", ())] + [""]
    answers = "\n".join(f"| {status} | {answer['description']} |" for status, answer in sorted(operation["responses"].items()))
    if answers in told:
        return "\n".join([*lines, f"Statuses: those of `{told[answers]}`."]).replace("\n\n\n", "\n\n") + "\n"
    told[answers] = f"{method} {path}"
    return "\n".join([*lines, "| status | |", "|---|---|", answers]).replace("\n\n\n", "\n\n") + "\n"


def fields_page() -> str:
    parts = [FIELDS_HEAD.replace("OPTIONS", ", ".join(f"`{name}`" for name in sorted(OPTION_NAMES)))]
    told: list[RequestField] = []
    tables = (
        table
        for wire in WIRES.values()
        for table in (wire.fields, wire.count_fields, *wire.further_fields)
        if table is not None
    )
    for table in tables:
        rows = [row for row in table.rows.values() if not any(row is other for other in told)]
        parts += [f"## {table.name}\n", f"{table.says}\n"]
        if len(rows) < len(table.rows):
            parts += ["Beside the fields above:\n"]
        parts += [field_table(table, rows)]
        told += rows
    return "\n".join(parts)


def field_table(table: FieldTable, rows: list[RequestField]) -> str:
    """The columns are the kinds of upstreams that some field is not simply passed on to, and all others; for a table of a wire
    whose fields become others elsewhere, what they become."""
    kinds = sorted({kind for row in table.rows.values() for kind in row.uses})
    last = "upstreams of other APIs" if any(row.becomes is not None for row in rows) else "other kinds"
    lines = [
        f"| field | type | what | {' | '.join(f'`{kind}`' for kind in kinds)} | {last} |",
        "|---|---|---|---|" + "---|" * len(kinds),
    ]
    for row in rows:
        others = "left out" if row.dropped else "passed on" if row.becomes is None else row.becomes or "left out"
        uses = [use_words(row.uses[kind]) if kind in row.uses else others for kind in kinds]
        name = f"`{row.name}`{' (needed)' if row.needed else ''}"
        lines.append(f"| {name} | {type_words(row.shape.schema)} | {row.says} | {' | '.join(uses)} | {others} |")
    return "\n".join(lines) + "\n"


def vendors_page() -> str:
    lines = [
        "| `vendor` | whose | base URL | key | limit | continues | reasoning | back | embeddings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join((f'`{name}`', row.title, *vendor_cells(row)))} |" for name, row in VENDORS.items()]
    return "\n".join([VENDORS_HEAD, *lines]) + "\n"


def vendor_cells(row: Vendor) -> Iterator[str]:
    yield f"`{row.base_url}`" if row.base_url else "*yours*"
    header = f", in `{row.key_header}`" if row.key_header else ""
    yield f"`{row.key_env}`{header}" if row.key_env else "none"
    yield ", ".join(f"`{form}`" for form in row.forms if form.startswith("max_"))
    how = row.continuation
    if how is None:
        yield ""
    else:
        said = [f"`{name}: {json.dumps(value)}`" for name, value in how.fields.items()]
        said += [f"`{name}: {json.dumps(value)}` in the message" for name, value in how.message.items()]
        yield (", ".join(said) or "the message alone") + (f"; below `{how.below}` only" if how.below else "")
    yield f"`{row.reasoning}`" if row.reasoning else ""
    yield "no" if "no_reasoning" in row.forms else ""
    yield {True: "yes", False: "no", None: ""}[row.embeds]


def type_words(schema: dict[str, Any]) -> str:
    """What a value must be, in a few words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_words(each) for each in schema["anyOf"]))
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    kind = schema.get("type", "anything")
    if kind == "array" and schema.get("items"):
        return f"list of {type_words(schema['items'])}"
    return {"string": "text", "boolean": "true or false", "integer": "whole number", "array": "list"}.get(kind, kind)


def use_words(use: FieldUse) -> str:
    if use.what == "dropped":
        return "left out"
    if use.what == "refused":
        neutral = " or ".join(f"`{json.dumps(value)}`" for value in use.neutral)
        return f"400, but for {neutral}" if neutral else "400"
    low, high = (use.shape.schema.get(bound) for bound in ("minimum", "maximum"))
    bounds = use.says or ("" if low is None else f"{low:_} to {high:_}")
    return f"honoured: {bounds}" if bounds else "honoured"


PAGES = {
    "reference/translation.md": translation_page,
    "reference/config.md": config_page,
    "reference/http.md": http_page,
    "reference/fields.md": fields_page,
    "reference/vendors.md": vendors_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
        print(DOCS / name)
