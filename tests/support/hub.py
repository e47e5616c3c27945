"""A stand-in for a hub that speaks Hugging Face's API over loopback: repositories, files by ranges, and some trouble."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

#: The revision that every repository is at.
REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """``files``: by repository and path. ``cards``: what a repository's card says. ``cut``: bytes after which the next answer
    with a file breaks off. ``wrong``: whether files that are sent are not those that are stated. ``asked``: each request."""

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    cut: int | None = None
    wrong: bool = False
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


@contextmanager
def hub_standing_in() -> Iterator[Hub]:
    """Serve a hub until the block is left."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/\w+)?", path):
            self._repository(match[1])
        else:
            self._file()

    def _note(self) -> None:
        self.hub.asked.append((self.command, unquote(urlsplit(self.path).path), self.headers.get("range")))
        if "agent-harnesses" not in self.path:  # which the library asks for by itself
            self.hub.tokens.add(self.headers.get("authorization"))

    def _repository(self, repo: str) -> None:
        self._note()
        if repo not in self.hub.files:
            self._answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1},
            }
            for name, data in self.hub.files[repo].items()
        ]
        card = self.hub.cards.get(repo, {})
        document = {"id": repo, "sha": REVISION, "siblings": siblings, "tags": card.pop("tags", []), "cardData": card or None}
        self._answer(200, json.dumps(document).encode())

    def _file(self) -> None:
        self._note()
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/(.+)", unquote(urlsplit(self.path).path))
        data = self.hub.files.get(match[1], {}).get(match[2]) if match else None
        if match and match[1] in self.hub.gated and not self.headers.get("authorization"):
            self._answer(401, b"", {"X-Error-Code": "GatedRepo"})
            return
        if data is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        stated = {
            "X-Repo-Commit": REVISION,
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "Accept-Ranges": "bytes",
        }
        status = 200
        if self.hub.wrong:
            data = data[::-1]
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("range") or ""):
            begin = int(wanted[1])
            stated["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[begin:]
        self._answer(status, data, stated)

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.cut is not None and headers and "ETag" in headers:
            data, self.hub.cut = data[: self.hub.cut], None
            self.close_connection = True
        self.wfile.write(data)
