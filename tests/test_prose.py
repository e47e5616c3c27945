"""The words of the project: what CONTRIBUTING.md's table marks as checked stands in no docstring, comment, string or document.

Names are free: a key, a flag or a function is called what its users call it. So is code in documents.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
#: Decisions and the changelog are history; docs/proof.md quotes tests; docs/cli.md and docs/reference are made of the source.
DOCUMENTS = ("README.md", "docs/*.md", "docs/guides/*.md", "docs/reference/*.md")
NOT_READ = {"docs/proof.md"}


def table() -> list[list[str]]:
    """The rows of the table: what not to write, what to write instead, and whether that is checked."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Words\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")][1:]


def checked() -> list[str]:
    """The words that are never right."""
    return [word.strip() for words, _, mark in table() if mark == "checked" for word in words.split(",")]


def prose_of_python(text: str) -> Iterator[tuple[int, str]]:
    """Comments and strings, docstrings among them, with their lines; a paragraph is one text, however it is broken."""
    comments: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.append(token.string.lstrip("#: "))
        elif token.type != tokenize.NL and comments:
            yield token.start[0] - len(comments), " ".join(comments)
            comments = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.split())


def prose_of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs without code, with their lines."""
    text = re.sub(r"^```.*?^```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    line = 1
    for paragraph in text.split("\n\n"):
        yield line, " ".join(re.sub(r"`[^`]*`", "``", paragraph).split())
        line += paragraph.count("\n") + 2


def faults(path: Path, words: list[str]) -> list[str]:
    """Places in a file where one of *words* stands."""
    prose = (prose_of_python if path.suffix == ".py" else prose_of_markdown)(path.read_text(encoding="utf-8"))
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})(?:'s)?\b", re.IGNORECASE)
    return [f"{path}:{line}: {found[0]}" for line, text in prose for found in [pattern.search(text)] if found]


def read_files() -> list[Path]:
    documents = [path for pattern in DOCUMENTS for path in ROOT.glob(pattern)]
    return [*SOURCE.rglob("*.py"), *(path for path in documents if str(path.relative_to(ROOT)) not in NOT_READ)]


def test_no_word_of_the_table_is_used() -> None:
    """What to write instead stands in CONTRIBUTING.md, under "Words"."""
    words = checked()

    assert [] == [fault for path in read_files() for fault in faults(path, words)]


def test_the_table_is_read() -> None:
    """Some thirty substitutions, a part of which is checked."""
    assert len(table()) >= 30
    assert {len(row) for row in table()} == {3}
    assert {"nobody", "goes on", "of ours"} <= set(checked())
    assert len(read_files()) > 300


EXAMPLES = {
    "a docstring": ("a.py", 'def f():\n    """Ask {}."""\n'),
    "a docstring of two lines": ("a.py", '"""Ask {broken}\nnow."""\n'),
    "a comment": ("a.py", "x = 1  # ask {}\ny = 2\n"),
    "a comment of two lines": ("a.py", "#: Ask {broken},\n#: now.\ny = 2\n"),
    "a message": ("a.py", 'raise ValueError(f"ask {{x}}, {}")\n'),
    "a document": ("a.md", "Ask\n{}, `now`.\n"),
}


@pytest.mark.parametrize("word", checked())
@pytest.mark.parametrize("example", EXAMPLES)
def test_each_word_is_found(example: str, word: str, tmp_path: Path) -> None:
    """In every kind of prose, also where a line ends inside it."""
    name, text = EXAMPLES[example]
    path = tmp_path / name
    end = "\n# " if text.startswith("#") else "\n"
    path.write_text(text.format(word, broken=word.replace(" ", end)) if "broken" in text else text.format(word))

    assert 1 == len(faults(path, checked()))


def test_names_and_code_are_free(tmp_path: Path) -> None:
    """What is called so stays so."""
    (tmp_path / "a.py").write_text("def goes_on(nobody: int) -> int:\n    return nobody\n")
    (tmp_path / "a.md").write_text("`nobody` and\n\n```sh\nUSER nobody\n```\n\nend\n")

    assert [] == [fault for name in ("a.py", "a.md") for fault in faults(tmp_path / name, checked())]
