"""The names of routes in metrics and logs, and what a path means that is written otherwise."""

from __future__ import annotations

import re
from typing import Final

from ..wires.base import MODEL_IN_PATH
from ..wires.registry import COUNTED, GOOGLE_GEMINI, SERVED, models_paths
from .auth import ADMIN_PATH, PAGE_PATH, PROBE_PATHS, RESPONSES_PATH, STREAMS_PATH

#: The route of streams, whichever is meant: an id is a secret.
STREAM_ROUTE: Final = STREAMS_PATH + "{id}"

#: What OpenAI's paths begin with; they are served without it too.
V1: Final = "/v1"

#: What the paths of kept responses begin with.
RESPONSES_PATHS: Final = (RESPONSES_PATH, RESPONSES_PATH.removeprefix(V1))

#: Where a caller sees what its key used, an admin what all did, and the page that shows it.
USAGE_PATH: Final = "/v1/usage"
ADMIN_USAGE_PATH: Final = f"{ADMIN_PATH}usage"
USAGE_PAGE: Final = "/usage"
ADMIN_PAGE: Final = ADMIN_PATH.removesuffix("/")

#: Where Ollama's clients ask beside answers.
OLLAMA_VERSION_PATH: Final = "/api/version"
OLLAMA_SHOW_PATH: Final = "/api/show"
OLLAMA_PS_PATH: Final = "/api/ps"
OLLAMA_PULL_PATH: Final = "/api/pull"

#: All of these, which may stand behind what clients have in their base URL as well.
_OLLAMAS: Final = (OLLAMA_VERSION_PATH, OLLAMA_SHOW_PATH, OLLAMA_PS_PATH, OLLAMA_PULL_PATH, "/api/tags")

#: Paths that are named as they are.
_NAMED: Final = PROBE_PATHS | {
    *_OLLAMAS,
    *(USAGE_PATH, ADMIN_USAGE_PATH, USAGE_PAGE, ADMIN_PAGE),
    *("/", "/docs", "/metrics", "/openapi.json", "/v1/models"),
}


def route_name(path: str) -> str:
    """A few fixed names: a caller who tries paths must not fill our memory with them. An alias has its path's name."""
    if path.startswith(STREAMS_PATH):
        return STREAM_ROUTE
    if path.startswith(RESPONSES_PATHS):
        return _response_route_name(path)
    if path.startswith(PAGE_PATH):
        return PAGE_PATH + "{name}"
    if path == "/models":
        return V1 + path
    return path if path in _NAMED or path in models_paths() else "other"


def without_needless_slashes(path: str) -> str:
    """Return what is meant by a base URL that ends in a slash and a path that begins with one, or that ends in one too."""
    return "/" + "/".join(filter(None, path.split("/")))


#: What stands before paths like these at other servers, and stays in a base URL that is changed from one to the other; or a
#: /v1 twice, where a client adds it itself.
_BEFORE: Final = re.compile(r"/(?:v1beta|v1|v0|api|ollama|openai|anthropic|gemini|google)(?=/)")

#: Paths of Azure OpenAI, and of OpenAI's first API, which name the model.
_DEPLOYMENT: Final = re.compile(r"(?:/openai/deployments|(?:/v1)?/engines)/([^/]+)(?=/)")

#: Paths of the Gemini API, which name the model and what is asked of it, in all its versions, and those of Vertex AI.
_GEMINI: Final = re.compile(
    r"(?:/v1|/api|/gemini|/google)*?(?:/v1(?:alpha|beta)?[0-9]*)?(?:/projects/[^/]+/locations/[^/]+)?(?:/publishers/[^/]+)?"
    r"/(?:models|tunedModels|endpoints)/(?:models/)?(.+)(:[a-zA-Z]+)"
)

#: Where the models are listed in all its versions but the first, which it shares with OpenAI's.
_GEMINI_MODELS: Final = re.compile(r"(?:/v1|/api|/gemini|/google)*?/v1(?:alpha|beta)[0-9]*/models(?=/|$)")

#: Where others rank: Cohere, and llama.cpp's server.
_RANKINGS: Final = dict.fromkeys(("/v2/rerank", "/v1/reranking", "/reranking"), "/v1/rerank")

#: Paths that name a model, by what stands behind it.
_NAMING: Final = {path.partition(MODEL_IN_PATH)[2]: path for path in (*SERVED, *COUNTED) if MODEL_IN_PATH in path}

_PATHS: Final = frozenset({*SERVED, *COUNTED, "/v1/models", *_OLLAMAS, *PROBE_PATHS})
_UNDER: Final = (*RESPONSES_PATHS, "/v1/models/", "/models/")


def meant_path(path: str) -> tuple[str, str]:
    """Return the path that is meant by one of another server, and the model that it names, ``""`` where it names none. Any
    other path is returned as it is."""
    if (named := _DEPLOYMENT.match(path)) is not None:
        rest = V1 + path[named.end() :]
        return (rest, named[1]) if rest in SERVED else (path, "")
    if (named := _GEMINI.fullmatch(path)) is not None and (asked := _NAMING.get(named[2])) is not None:
        return asked, named[1]
    if (listed := _GEMINI_MODELS.match(path)) is not None:
        return (GOOGLE_GEMINI.models_path or "") + path[listed.end() :], ""
    if (ranking := _RANKINGS.get(path.removeprefix("/api"))) is not None:
        return ranking, ""
    rest = path
    while not _is_ours(rest):
        if (before := _BEFORE.match(rest)) is None:
            return path, ""
        rest = rest[before.end() :]
    return rest if rest in _PATHS or rest.startswith(V1) else V1 + rest, ""


def _is_ours(path: str) -> bool:
    return path in _PATHS or V1 + path in _PATHS or path.startswith(_UNDER)


def _response_route_name(path: str) -> str:
    """Return the route that a path belongs to, whichever response is meant: an id is a secret."""
    rest = path.partition(RESPONSES_PATH.removeprefix("/v1"))[2].partition("/")[2]
    return RESPONSES_PATH + "{id}" + (f"/{rest}" if rest in ("cancel", "input_items") else "")
