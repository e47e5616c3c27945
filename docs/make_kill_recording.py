"""Make docs/killed.svg from a real run: ``python docs/make_kill_recording.py``. It wants nginx (Debian: `nginx-light`).

The same client, openai-python, asks the same question twice, and the process that answers is killed in the middle with SIGKILL:
once through nginx as it comes, and once through `autonomousai serve` before that nginx and a second upstream. What is shown is
what the two programs printed, at the time at which they did; nothing is retouched.
"""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

KILL_AT = 28  # pieces of text
FIRST, SECOND, PROXY, GATEWAY = 8101, 8102, 8111, 8100

QUESTION = "Why is the sky blue? Answer in three sentences."

ASK = """\
import hashlib, json, sys
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
question = [{"role": "user", "content": sys.argv[2]}]
text, last = "", None
for chunk in client.chat.completions.create(model="llama", messages=question, stream=True, temperature=0, max_tokens=120):
    last = chunk
    if chunk.choices and chunk.choices[0].delta.content:
        text += chunk.choices[0].delta.content
        print(json.dumps({"text": chunk.choices[0].delta.content}), flush=True)
finish = last.choices[0].finish_reason if last.choices else None
sha256 = hashlib.sha256(text.encode()).hexdigest()
print(json.dumps({"finish": finish, "sha256": sha256, "trailer": (last.model_extra or {}).get("x_autonomousai")}), flush=True)
"""

NGINX = f"""\
daemon off; pid nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  server {{ listen 127.0.0.1:{PROXY}; location / {{ proxy_pass http://127.0.0.1:{FIRST}; }} }}
}}
"""

CONFIG = f"""\
[server]
port = {GATEWAY}

[upstreams.first]
kind = "openai"
base_url = "http://127.0.0.1:{PROXY}/v1"

[upstreams.second]
kind = "openai"
base_url = "http://127.0.0.1:{SECOND}/v1"

[models.llama]
route = ["first", "second"]
"""


class Line(NamedTuple):
    """What was printed, and how many seconds after the start."""

    at: float
    kind: str
    text: str


@contextmanager
def serving(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`autonomousai serve`, from when it listens."""
    command = [sys.executable, "-m", "autonomousai", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def proxying(folder: Path) -> Iterator[None]:
    """nginx with nothing but a `proxy_pass`."""
    (folder / "nginx.conf").write_text(NGINX)
    with subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf"], stderr=subprocess.DEVNULL) as process:
        while not (folder / "nginx.pid").exists():
            time.sleep(0.01)
        try:
            yield
        finally:
            process.terminate()


def ask(port: int, victim: subprocess.Popen[str] | None = None) -> list[Line]:
    """What the client printed, asking at *port*; *victim* is killed after some pieces."""
    lines: list[Line] = []
    command = [sys.executable, "-c", ASK, f"http://127.0.0.1:{port}/v1", QUESTION]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = None
        for line in process.stdout:
            started = time.monotonic() if started is None else started
            lines.append(Line(time.monotonic() - started, "text" if line.startswith('{"text"') else "end", line))
            if victim is not None and len(lines) == KILL_AT:
                os.kill(victim.pid, signal.SIGKILL)
                lines.append(Line(time.monotonic() - started, "kill", f"$ kill -9 {victim.pid}"))
    if process.returncode or not lines or lines[-1].kind != "end":
        sys.exit(f"the client ended with {process.returncode}: {lines}")
    return lines


def record() -> tuple[list[Line], list[Line], str]:
    """Through nginx, through the gateway, and the checksum of the answer where nothing is killed."""
    with tempfile.TemporaryDirectory() as name, serving("--port", str(SECOND)), proxying(Path(name)):
        config = Path(name) / "autonomousai.toml"
        config.write_text(CONFIG)
        with serving("--port", str(FIRST)) as upstream:
            undisturbed = json.loads(ask(FIRST)[-1].text)["sha256"]
            through_nginx = ask(PROXY, upstream)
        with serving("--config", str(config)), serving("--port", str(FIRST)) as upstream:
            through_us = ask(GATEWAY, upstream)
    return through_nginx, through_us, undisturbed


# ---- the picture ----------------------------------------------------------------------------------------------------

COLUMNS, ROW, CHAR, PANE, HEIGHT, TOP = 54, 20, 8.43, 488, 416, 92
HOLD_S = 7.0


def placed(lines: list[Line]) -> Iterator[tuple[Line, str, float, int, str]]:
    """Each piece with its kind, row, column and text; lines end with the pane, and the kill has one of its own."""
    row, column, kind = 0.0, 0, "plain"
    for line in lines:
        if line.kind == "kill":
            yield line, "kill", row + 1.4, 0, f"{line.text}   # the upstream"
            row, column, kind = row + 2.8, 0, "rest"
        elif line.kind == "text":
            for word in re.findall(r"\s*\S+|\s+", json.loads(line.text)["text"]):
                if column + len(word) > COLUMNS:
                    row, column = row + 1, 0
                shown = word if column else word.lstrip()
                yield line, kind, row, column, shown
                column += len(shown)


def ending(line: Line, undisturbed: str) -> list[tuple[str, str]]:
    """What the client knew at the end, as lines with their colours."""
    told = json.loads(line.text)
    shown = [("none" if told["finish"] is None else "good", f"finish_reason  {told['finish']}")]
    if (trailer := told["trailer"]) is None:
        return [*shown, ("none", "exception      none"), ("bad", "half an answer, taken for a complete one")]
    attempts = ", ".join(f"{each['upstream']} {each['outcome']}" for each in trailer["attempts"])
    (splice,) = trailer["splices"]
    same = trailer["sha256"] == told["sha256"] == undisturbed
    return [
        *shown,
        ("key", "x_autonomousai"),
        ("plain", f"  attempts     {attempts}"),
        ("plain", f"  splices      at character {splice['offset']}, {splice['from']} to {splice['to']}"),
        ("plain", f"  length       {trailer['length']}"),
        ("plain", f"  sha256       {trailer['sha256'][:24]}…"),
        ("good" if same else "bad", "the same bytes as without the kill" if same else "another text than without the kill"),
    ]


STYLE = """\
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; fill: #d7dde5; }
.title { font: 600 15px system-ui, sans-serif; fill: #fff; } .way { font-size: 12px; fill: #8b98a9; }
.kill, .bad { fill: #ff7b72; font-weight: bold; } .good { fill: #6fdd8b; font-weight: bold; }
.none { fill: #e3b341; } .key { fill: #79c0ff; } .prompt { fill: #8b98a9; } .rest { fill: #a5d6ff; }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
"""


class Picture:
    """Two panes whose texts appear when they came, again and again."""

    def __init__(self, seconds: float) -> None:
        self._cycle = seconds + HOLD_S
        self._names: dict[float, str] = {}
        self._parts: list[str] = []
        self._frames: list[str] = []

    def put(self, x: float, y: float, text: str, kind: str = "plain", at: float | None = None) -> None:
        """Show *text* from second *at* on."""
        shown = html.escape(text, quote=False)
        style = "" if at is None else f' style="animation:{self._frame(at)} {self._cycle:.2f}s step-end infinite"'
        self._parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{style}>{shown}</text>')

    def _frame(self, at: float) -> str:
        if at not in self._names:
            self._names[at] = f"f{len(self._names)}"
            share = 100 * (0.3 + at) / self._cycle
            self._frames.append(f"@keyframes {self._names[at]}{{0%{{opacity:0}}{share:.2f}%{{opacity:1}}}}")
        return self._names[at]

    def pane(self, x: float, title: str, way: str, lines: list[Line], undisturbed: str) -> None:
        """One run."""
        self._parts.append(f'<rect x="{x}" y="0" width="{PANE}" height="{HEIGHT}" rx="10" fill="#12181f"/>')
        left = x + 16
        self.put(left, 28, title, "title")
        self.put(left, 48, way, "way")
        self.put(left, 80, f"> {QUESTION}", "prompt")
        row = 0.0
        for line, kind, row, column, text in placed(lines):
            self.put(left + CHAR * column, TOP + ROW * (row + 1), text, kind, line.at)
        y = TOP + ROW * (row + (2.4 if kind == "rest" else 2.6))
        for kind, text in ending(lines[-1], undisturbed):
            self.put(left, y, text, kind, lines[-1].at)
            y += ROW

    def svg(self, label: str) -> str:
        """The complete document."""
        root = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * PANE + 16} {HEIGHT}" role="img"'
        style = "\n".join(["<style>", STYLE.strip(), *self._frames, "</style>"])
        return "\n".join([f'{root} aria-label="{html.escape(label)}">', style, *self._parts, "</svg>\n"])


def main() -> None:
    theirs, ours, undisturbed = record()
    picture = Picture(max(theirs[-1].at, ours[-1].at))
    picture.pane(0, "openai-python, behind a proxy", "openai-python → nginx → upstream", theirs, undisturbed)
    picture.pane(
        PANE + 16,
        "the same client, behind autonomousai serve",
        "openai-python → gateway → nginx → upstream | second",
        ours,
        undisturbed,
    )
    target = Path(__file__).with_name("killed.svg")
    target.write_text(
        picture.svg("Two terminals: the upstream of a stream is killed; one answer ends in the middle, the other continues")
    )
    print(target)
    for line in (theirs[-1], ours[-1]):
        print(line.text, end="")
    print(undisturbed)


if __name__ == "__main__":
    main()
