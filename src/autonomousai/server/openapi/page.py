"""The document as a page for people: one file, no script, nothing from elsewhere. Knows OpenAPI, and nothing of this server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

Json = Mapping[str, Any]


@cache
def _style() -> str:
    return files(__name__.rpartition(".")[0]).joinpath("page.css").read_text(encoding="utf-8")


def page_headers() -> dict[str, str]:
    """The headers that go with the page: nothing but its own style sheet, known by its hash, may be used."""
    style = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }


def write_page(document: Json) -> str:
    """The page."""
    info = document["info"]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(info['title'])}: the API</title>\n<style>{_style()}</style>\n</head>\n<body>\n<main>",
        f"<h1>{_text(info['title'])} <small>{_text(info['version'])}</small></h1>",
        *(f"<p>{_prose(paragraph)}</p>" for paragraph in info["description"].split("\n\n")),
        f"<p>{_key(document)}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>, OpenAPI 3.1.</p>',
        _contents(document),
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{_text(tag['name'])}</h2>")
        parts += [_operation(*found, document) for found in _operations(document) if tag["name"] in found[2]["tags"]]
    parts.append("<h2>Schemas</h2>")
    parts += [_schema_section(name, schema) for name, schema in document["components"]["schemas"].items()]
    parts.append("</main>\n</body>\n</html>\n")
    return "\n".join(parts)


def _text(value: object) -> str:
    return html.escape(str(value))


def _prose(text: str) -> str:
    """Text in which `code` stands between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", _text(text))


def _key(document: Json) -> str:
    if not document.get("security"):
        return "No key is required, but where it says so."
    return _prose("A key is required: send `Authorization: Bearer KEY`. Paths that need none, or another, say so.")


def _operations(document: Json) -> Iterable[tuple[str, str, Json, list[Json]]]:
    """Path, method, operation, and the parameters of the path and of the operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation, [*item.get("parameters", ()), *operation.get("parameters", ())]


def _contents(document: Json) -> str:
    items = [
        f'<li><a href="#{one["operationId"]}"><code>{method.upper()} {_text(path)}</code></a> {_text(one["summary"])}</li>'
        for path, method, one, _ in _operations(document)
    ]
    return '<nav aria-label="Contents">\n<ul>\n' + "\n".join(items) + "\n</ul>\n</nav>"


def _operation(path: str, method: str, operation: Json, parameters: list[Json], document: Json) -> str:
    parts = [
        f'<section id="{operation["operationId"]}">',
        f"<h3><code><b>{method.upper()}</b> {_text(path)}</code></h3>\n<p>{_prose(_sentence(operation['summary']))}</p>",
    ]
    if operation.get("security"):
        parts.append("<p>Needs an admin key.</p>")
    elif document.get("security") and "security" in operation:
        parts.append("<p>Needs no key.</p>")
    if parameters:
        rows = [[_code(one["name"]), one["in"], _type(one["schema"]), _prose(one["description"])] for one in parameters]
        parts.append(_table(("Parameter", "In", "Type", "What"), rows))
    if body := operation.get("requestBody"):
        for kind, content in body["content"].items():
            parts.append(f"<p>Body: {_code(kind)}, {_type(content['schema'])}, for example:</p>")
            parts.append(f'<pre tabindex="0">{_text(json.dumps(content["example"], indent=2))}</pre>')
    rows = [
        [_code(status), ", ".join(_content(*one) for one in answer.get("content", {}).items()), _what(answer)]
        for status, answer in operation["responses"].items()
    ]
    parts.append(_table(("Status", "Body", "What"), rows))
    parts.append("</section>")
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _what(answer: Json) -> str:
    """What an answer means, and the headers that not every answer has."""
    headers = [_code(name) for name in answer.get("headers", ()) if name != "x-request-id"]
    return _prose(answer["description"]) + (f" May have {', '.join(headers)}." if headers else "")


def _content(kind: str, content: Json) -> str:
    return f"{_code(kind)} {_type(content['schema'])}"


def _schema_section(name: str, schema: Json) -> str:
    parts = [f'<section id="schema-{_text(name)}">\n<h3>{_text(name)}</h3>']
    if description := schema.get("description"):
        parts.append(f"<p>{_prose(' '.join(description.split()))}</p>")
    if properties := schema.get("properties"):
        required = schema.get("required", ())
        rows = [
            [
                _code(key) + (" <small>required</small>" if key in required else ""),
                _type(value),
                _prose(value.get("description", "")) if isinstance(value, Mapping) else "",
            ]
            for key, value in properties.items()
        ]
        parts.append(_table(("Field", "Type", "What"), rows))
    else:
        parts.append(f"<p>{_type(schema)}</p>")
    parts.append("</section>")
    return "\n".join(parts)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _code(text: object) -> str:
    return f"<code>{_text(text)}</code>"


#: What bounds a value, and how that is said.
_BOUNDS: Final = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "minLength": "at least {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "pattern {}",
    "format": "{}",
}


def _type(schema: Any) -> str:
    """A schema in a line: names of others are links."""
    if schema is False:
        return "refused"
    if not isinstance(schema, Mapping) or not schema:
        return "anything"
    if ref := schema.get("$ref"):
        name = _text(ref.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "const" in schema:
        return _code(json.dumps(schema["const"]))
    if "enum" in schema:
        return " or ".join(_code(json.dumps(value)) for value in schema["enum"])
    if (choices := schema.get("anyOf")) and "type" not in schema:
        return " or ".join(_type(one) for one in choices)
    kinds = schema.get("type", "anything")
    said = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if content := schema.get("contentSchema"):
        return f"{said}: JSON of {_type(content)}"
    if items := schema.get("items"):
        said += f" of {_type(items)}"
    elif "properties" in schema:
        said += f" ({', '.join(f'{_code(key)}: {_type(value)}' for key, value in schema['properties'].items())})"
    bounds = [how.format(_text(schema[key])) for key, how in _BOUNDS.items() if key in schema]
    return said + (f", {', '.join(bounds)}" if bounds else "")
