"""The words of the project: what CONTRIBUTING.md's table marks as checked stands in no docstring, comment, string or document.

Names are free: a key, a flag or a function is called what its users call it. So is code in documents.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
#: Decisions and the changelog are history; docs/proof.md quotes tests; docs/cli.md and docs/reference are made of the source.
DOCUMENTS = ("README.md", "docs/*.md", "docs/guides/*.md", "docs/reference/*.md")
NOT_READ = {"docs/proof.md"}
#: Documents for those who work on the package, who meet its own words; docs/performance.md has columns with names of old runs.
FOR_DEVELOPERS = {
    "docs/architecture.md",
    "docs/guides/add-a-wire.md",
    "docs/guides/add-an-upstream-kind.md",
    "docs/http.md",
    "docs/performance.md",
}
#: The texts of the chat page, a table for each language: words of this language alone are checked.
PAGE = "src/autonomousai/server/page/words.en.js"
#: Messages that only mistakes in this package raise, and a pattern.
NO_MESSAGES = {"src/autonomousai/wires/base.py", "src/autonomousai/wires/raw.py", "src/autonomousai/wires/raw_errors.py",
               "src/autonomousai/wires/foreign_errors.py", "src/autonomousai/wires/openai_documents/document.py"}  # fmt: skip


def table() -> list[list[str]]:
    """The rows of the table: what not to write, what to write instead, and whether that is checked."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Words\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")][1:]


def checked(*marks: str) -> list[str]:
    """The words that are never right, or where these marks are."""
    return [word.strip() for words, _, mark in table() if mark in (marks or ("checked",)) for word in words.split(",")]


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


def messages_of_python(text: str) -> Iterator[tuple[int, str]]:
    """Strings of more than a word that are no docstrings, with their lines: messages, perhaps. Options in them are names."""
    tree = ast.parse(text)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
            and " " in node.value.strip()
        ):
            yield node.lineno, " ".join(re.sub(r"--\w+|`[^`]*`|\{\w+\}", "``", node.value).split())


def texts_of_page(text: str) -> Iterator[tuple[int, str]]:
    """The strings of a table of the page, with their lines."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in re.finditer(r'"((?:[^"\\]|\\.)*)"', line):
            yield number, found[1]


def prose_of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs without code, with their lines."""
    text = re.sub(r"^```.*?^```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    line = 1
    for paragraph in text.split("\n\n"):
        yield line, " ".join(re.sub(r"`[^`]*`|\]\([^)]*\)", "``", paragraph).split())
        line += paragraph.count("\n") + 2


READERS = {".py": prose_of_python, ".md": prose_of_markdown, ".js": texts_of_page}
READERS_FOR_USERS = {**READERS, ".py": messages_of_python}


def faults(
    path: Path, words: list[str], readers: Mapping[str, Callable[[str], Iterator[tuple[int, str]]]] = READERS
) -> list[str]:
    """Places in a file where one of *words* stands."""
    prose = readers[path.suffix](path.read_text(encoding="utf-8"))
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})(?:'s)?\b", re.IGNORECASE)
    return [f"{path}:{line}: {found[0]}" for line, text in prose for found in [pattern.search(text)] if found]


def read_files() -> list[Path]:
    documents = [path for pattern in DOCUMENTS for path in ROOT.glob(pattern)]
    return [*SOURCE.rglob("*.py"), *(path for path in documents if str(path.relative_to(ROOT)) not in NOT_READ)]


def test_no_word_of_the_table_is_used() -> None:
    """What to write instead stands in CONTRIBUTING.md, under "Words"."""
    words = checked()

    assert [] == [fault for path in read_files() for fault in faults(path, words)]


def read_by_users() -> list[Path]:
    documents = [path for pattern in (*DOCUMENTS, "docs/recipes/*.md") for path in ROOT.glob(pattern)]
    paths = [ROOT / PAGE, *SOURCE.rglob("*.py"), *documents]
    return [path for path in paths if path.relative_to(ROOT).as_posix() not in NOT_READ | FOR_DEVELOPERS | NO_MESSAGES]


def test_users_read_no_word_of_the_house() -> None:
    """What to write instead stands in CONTRIBUTING.md, under "Words"."""
    words = checked("checked", "for users")

    assert [] == [fault for path in read_by_users() for fault in faults(path, words, READERS_FOR_USERS)]


@pytest.mark.parametrize("word", checked("for users"))
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.py", 'raise ValueError(f"do {{x}}, {}")\n'), ("a.md", "Do\n{}, `now`.\n"), ("a.js", 'a: "Do {} now",\n')],
    ids=["a message", "a document", "the page"],
)
def test_each_word_is_found_where_users_read_it(name: str, text: str, word: str, tmp_path: Path) -> None:
    """In a docstring, which developers read, it is free."""
    path = tmp_path / name
    path.write_text(text.format(word))
    developers = tmp_path / "b.py"
    developers.write_text(f'"""The {word} of it."""\n')

    assert 1 == len(faults(path, checked("for users"), READERS_FOR_USERS))
    assert [] == faults(developers, checked("for users"), READERS_FOR_USERS)


def test_the_table_is_read() -> None:
    """Some thirty substitutions, a part of which is checked."""
    assert len(table()) >= 30
    assert {len(row) for row in table()} == {3}
    assert {"nobody", "goes on", "of ours"} <= set(checked())
    assert len(checked("for users")) >= 30
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
