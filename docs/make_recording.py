"""Make docs/recording.svg from real runs of the program on a pseudo-terminal: ``python docs/make_recording.py``.

Nothing is retouched but for spinners, of which a still picture can show no more than the last line that they were wiped for.
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pexpect
from rich.console import Console
from rich.text import Text

WIDTH = 92
COMMANDS = (
    'autonomousai chat --seed 2 "In two sentences: what is Paris known for?"',
    'autonomousai chat --temperature 0 --json "What is the capital of France?"',
)

#: rich's own picture, without the fonts that it would fetch from elsewhere.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def run(command: str) -> str:
    """What *command* shows on a terminal, colours included."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown, code = pexpect.run(
        f"sh -c {_quoted(command)}",
        withexitstatus=True,
        timeout=300,
        env={**os.environ, "PATH": path, "TERM": "xterm-256color"},
        dimensions=(200, WIDTH),
        encoding="utf-8",
    )
    if code:
        sys.exit(f"{command}: exit code {code}\n{shown}")
    lines = [line.rpartition("\x1b[K")[2].rpartition("\r")[2] for line in shown.replace("\r\n", "\n").split("\n")]
    return re.sub(r"\x1b\[\?\d+[hl]", "", "\n".join(lines)).rstrip("\n")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command in COMMANDS:
        console.print(Text.assemble(("$ ", "bold green"), command))
        console.print(Text.from_ansi(run(command)))
        console.print()
    target = Path(__file__).with_name("recording.svg")
    target.write_text(console.export_svg(title="autonomousai", code_format=TEMPLATE, unique_id="recording"), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
