"""The layers, as the source itself shows them: imports fall, none is hidden, a folder's dependency stays in its folder.

The rules are tables; the checks read syntax trees and import nothing. Each is shown to fail on a small tree that breaks it.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "autonomousai"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

#: An import may only go to a lower floor, or stay in its own unit. Units are folders, and the files beside them.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"answer", "awaitables", "blocking", "capabilities", "completion", "directories", "errors", "events"})
    | {"file_identity", "key_references", "late", "models", "reasoning_details", "report", "retry"}
    | {"sealed_thoughts", "suggestions", "timeouts", "_version"},
    frozenset(
        {
            "batches",
            "blocking_answers",
            "chat_fields",
            "embeddings",
            "http",
            "request",
            "result",
            "provider",
            "settings",
            "stop_texts",
            "config_reading",
            "wires",
        }
    ),
    frozenset({"limiter", "outage"}),
    frozenset({"clients", "gateway", "testing"}),
    frozenset({"telemetry"}),
    frozenset({"caching", "engine", "keys", "ledger", "streams"}),
    frozenset({"kinds", "config"}),
    frozenset({"server", "<root>"}),
    frozenset({"ray", "workers"}),
    frozenset({"cli", "__main__", "llm_plugin"}),
)
#: Floors whose units may use one another, as long as there is no cycle; on the others the units are strangers.
OPEN_FLOORS = frozenset({0, 1, 6, 9})

COMMAND_LINE = FLOORS[9]
#: Who may import what is not the standard library's: units, or folders inside them.
FOREIGN: dict[str, frozenset[str]] = {
    "msgspec": frozenset().union(*FLOORS),
    "aiohttp": frozenset({"http.aiohttp_transport", "http.aiohttp_connector", "http.aiohttp_errors"}),
    "xllamacpp": frozenset({"engine"}),
    "huggingface_hub": frozenset({"engine.hub"}),
    "starlette": frozenset({"server"}),
    "uvloop": frozenset({"workers"}),
    "httptools": frozenset({"http"}),
    "python_socks": frozenset({"http.socks"}),
    "prompt_toolkit": frozenset({"cli"}),
    "pygments": frozenset({"cli.render.highlight"}),
    "pypdf": frozenset({"cli.chat.files"}),
    "tomli_w": frozenset({"cli.toml"}),
    "keyring": frozenset({"key_references"}),
    "llm": frozenset({"llm_plugin"}),
    "pydantic": frozenset({"llm_plugin"}),
    "ray": frozenset({"ray"}),
    "redis": frozenset({"streams.stores", "keys.stores", "caching.redis_store", "server.shared_breakers"}),
    "sqlalchemy": frozenset({"ledger"}),
    "alembic": frozenset({"ledger"}),
    "psycopg": frozenset({"ledger"}),
    "prometheus_client": frozenset({"telemetry"}),
    "opentelemetry": frozenset({"telemetry"}),
}
#: Of the standard library: I/O and concurrency have their places too.
GUARDED: dict[str, frozenset[str]] = {
    "asyncio": frozenset().union(*FLOORS[1:]) - {"wires"} | {"awaitables", "blocking"},
    "socket": frozenset({"http", "workers", "engine", "testing"}),
    # The clients name its type alone, of an argument.
    "ssl": frozenset({"http", "testing", "clients.openai", "clients.anthropic", "clients.autonomousai", "clients.gemini"}),
    "subprocess": frozenset({"engine", "workers", "cli.child_processes"}),
    "multiprocessing": frozenset({"engine"}),
    "sqlite3": frozenset({"streams.stores", "keys.stores", "ledger.database", "cli.chat.conversations"}),
}
#: What comes when it is needed: a file with one at its top is imported in a function by all others. aiohttp and httptools come
#: with the first request, sqlite3 with the first conversation that is kept, Pygments with code in an answer.
LATE = frozenset(
    {"aiohttp", "httptools", "python_socks", "sqlite3", "prompt_toolkit", "pygments", "tomli_w", "huggingface_hub", "keyring"}
    | {"sqlalchemy", "alembic", "psycopg"}
)
LATE_FILES = frozenset(
    {
        "http.aiohttp_transport",
        "http.aiohttp_connector",
        "http.aiohttp_errors",
        "http.httptools_transport",
        "http.connection",
        "http.response_clocks",
        "http.response_head",
        "http.socks",
        "ledger.database",
        "ledger.key_rows",
        "ledger.migrations.env",
        "ledger.migrations.versions.0001_entries",
        "ledger.migrations.versions.0002_keys",
        "ledger.tables",
        "ledger.usage",
        "cli.chat.conversations",
    }
)


@dataclass(frozen=True)
class Import:
    """One import: from where (dotted, without the package), what (dotted, absolute), and where it stands."""

    module: str
    target: str
    line: int
    in_function: bool
    reason: str
    only_typing: bool

    @property
    def unit(self) -> str:
        return unit_of(self.module)

    @property
    def ours(self) -> str | None:
        """The target inside the package, dotted, "" for the package itself; None for what is foreign."""
        if self.target == PACKAGE:
            return ""
        return self.target.removeprefix(PACKAGE + ".") if self.target.startswith(PACKAGE + ".") else None

    def __str__(self) -> str:
        return f"{self.module or '<root>'}:{self.line} imports {self.target}"


def unit_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0] or "<root>"


def modules(root: Path) -> dict[str, Path]:
    """Dotted name without the package -> file; "" is the package itself."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    files = modules(root)
    return [found for module, path in files.items() for found in _imports_of(module, path, files)]


def _imports_of(module: str, path: Path, files: dict[str, Path]) -> Iterator[Import]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def visit(node: ast.AST, in_function: bool, only_typing: bool, block: int | None) -> Iterator[Import]:
        previous: ast.AST | None = None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                if not isinstance(previous, ast.Import | ast.ImportFrom):
                    block = child.lineno
                reason = _reason(lines, child.lineno, block)
                for target in _targets(child, package, files):
                    yield Import(module, target, child.lineno, in_function, reason, only_typing)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                typing = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
                yield from visit(child, in_function or function, only_typing or typing, None)
            previous = child

    yield from visit(ast.parse(text), False, False, None)


def _targets(node: ast.Import | ast.ImportFrom, package: str, files: dict[str, Path]) -> Iterator[str]:
    """What an import statement names, absolute: modules of ours by their own name, not by their package's."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        above = [part for part in package.split(".") if part]
        above = above[: len(above) - (node.level - 1)]
        base = ".".join([PACKAGE, *above, *([base] if base else [])])
    for alias in node.names:
        inside = f"{base}.{alias.name}".removeprefix(PACKAGE + ".")
        yield f"{base}.{alias.name}" if base.startswith(PACKAGE) and inside in files else base


def _reason(lines: list[str], line: int, block: int | None) -> str:
    """The comment on the import's line, without directives, or the one above its block of imports."""
    own = lines[line - 1].partition("#")[2]
    own = re.sub(r"(noqa|type): ?[\w\d, \[\]-]*?(?=  |$)", "", own).strip(" #")
    above = lines[(block or line) - 2].strip()
    return own or (above.lstrip("# ") if above.startswith("#") else "")


def floor_of(unit: str) -> int:
    for number, units in enumerate(FLOORS):
        if unit in units:
            return number
    raise AssertionError(f"{unit} stands on no floor: add it to FLOORS")


def rising(found: list[Import]) -> list[str]:
    """Imports that do not fall."""
    bad = []
    for one in found:
        if one.ours is None or (target := unit_of(one.ours)) == one.unit:
            continue
        if target == "_version":
            continue
        here, there = floor_of(one.unit), floor_of(target)
        if there > here or (there == here and here not in OPEN_FLOORS):
            bad.append(str(one))
    return bad


def cycles(found: list[Import]) -> list[str]:
    """Modules that import one another, over however many corners; imports for type checkers count too."""
    graph: dict[str, set[str]] = {}
    for one in found:
        if one.ours is not None and one.ours != one.module:
            graph.setdefault(one.module, set()).add(one.ours)

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph.get(start, ()))
        while waiting:
            if (name := waiting.pop()) not in seen:
                seen.add(name)
                waiting += graph.get(name, ())
        return seen

    return sorted(module or "<root>" for module in graph if module in reach(module))


def hidden(found: list[Import]) -> list[str]:
    """Imports inside functions that do not say why."""
    return [str(one) for one in found if one.in_function and len(one.reason.split()) < 3]


def misplaced(found: list[Import]) -> list[str]:
    """Foreign dependencies outside their folder, and those that nobody has heard of."""
    bad = []
    for one in found:
        if one.ours is not None:
            continue
        top = one.target.split(".")[0]
        known = top in GUARDED or top in FOREIGN or top in sys.stdlib_module_names
        allowed = GUARDED.get(top) or FOREIGN.get(top)
        at_home = allowed is None or one.unit in allowed or any(f"{one.module}.".startswith(f"{place}.") for place in allowed)
        if not known or not at_home:
            bad.append(str(one))
    return bad


def hasty(found: list[Import]) -> list[str]:
    """What comes late, or a file that brings it, imported before. A server has it from the beginning."""
    return [
        str(one)
        for one in found
        if not one.in_function
        and not one.only_typing
        and one.module not in LATE_FILES
        and one.unit not in ("server", "streams", "workers")
        and not one.module.startswith("keys.stores")
        and not one.module.startswith("http.server")
        and (one.target.split(".")[0] in LATE or one.ours in LATE_FILES)
    ]


def conjured(root: Path) -> list[str]:
    """Imports by a function call, which no tree shows."""
    bad = []
    for module, path in modules(root).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
                bad.append(f"{module}:{node.lineno}")
    return bad


#: Floors inside a folder, and modules in the longest chain of imports, the command line apart; neither may grow.
FOLDER_FLOORS = 6
LONGEST_CHAIN = 13


def chains(found: list[Import]) -> dict[str, set[str]]:
    """What each module imports of the package when it is imported itself."""
    graph: dict[str, set[str]] = {}
    for one in found:
        if one.ours is not None and not one.in_function and not one.only_typing and one.ours != one.module:
            graph.setdefault(one.module, set()).add(one.ours)
    return graph


def depths(graph: dict[str, set[str]], within: set[str] | None = None) -> dict[str, int]:
    """How many modules stand one above the other, up to and with each; of those in *within* alone, if it is given."""
    known: dict[str, int] = {}

    def depth(module: str) -> int:
        if module not in known:
            below = [depth(each) for each in graph.get(module, ()) if within is None or each in within]
            known[module] = 1 + max(below, default=0)
        return known[module]

    for module in graph if within is None else within:
        depth(module)
    return known


def folders(root: Path) -> dict[str, set[str]]:
    """The modules of each folder."""
    found: dict[str, set[str]] = {}
    for module in modules(root):
        if "." in module:
            found.setdefault(module.rpartition(".")[0], set()).add(module)
    return found


def class_names(root: Path) -> list[str]:
    """The name of every class, private ones too."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in modules(root).values())
    return [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.fixture(scope="module")
def found() -> list[Import]:
    return imports(SOURCE)


def test_imports_fall(found: list[Import]) -> None:
    """A unit imports from lower floors alone; units of one floor are strangers where the table says so."""
    assert [] == rising(found)


def test_there_is_no_cycle(found: list[Import]) -> None:
    """No module reaches itself."""
    assert [] == cycles(found)


def test_no_import_is_hidden_without_a_reason(found: list[Import]) -> None:
    """An import inside a function says in a comment why it stands there."""
    assert [] == hidden(found)


def test_foreign_dependencies_stay_in_their_folders(found: list[Import]) -> None:
    """Each has its place in the table; one that is not in the table has none."""
    assert [] == misplaced(found)


def test_what_is_heavy_comes_when_it_is_needed(found: list[Import]) -> None:
    """aiohttp costs more to import than all of ours, and httptools is not always there; others have their moment too."""
    assert [] == hasty(found)


def test_a_folder_has_few_floors(found: list[Import]) -> None:
    """What stands above what inside a folder can be kept in mind."""
    graph = chains(found)
    deep = {folder: max(depths(graph, inside).values()) for folder, inside in folders(SOURCE).items()}

    assert {} == {folder: floors for folder, floors in deep.items() if floors > FOLDER_FLOORS}


def test_the_longest_chain_of_imports_is_bounded(found: list[Import]) -> None:
    """From the program that is started down to the events."""
    known = depths(chains(found))

    assert [] == [
        module for module, depth in known.items() if depth > LONGEST_CHAIN and not module.startswith(("cli", "__main__"))
    ]


def drawn(text: str) -> list[set[str]]:
    """The floors as a document draws them, the lowest first: lines of a number, units, and words about them."""
    known = frozenset().union(*FLOORS)
    lines = dict(re.findall(r"^(\d) (.*)$", re.sub(r" \(.*?\)", "", text), re.MULTILINE))
    return [set(itertools.takewhile(known.__contains__, lines[floor].replace("/", "").split())) for floor in sorted(lines)]


def test_the_picture_of_the_floors_is_theirs() -> None:
    """In docs/architecture.md, but for what begins the program and what is everywhere."""
    document = (SOURCE.parents[1] / "docs/architecture.md").read_text(encoding="utf-8")
    picture = document.partition("## The floors")[2].partition("```text\n")[2].partition("```")[0]

    assert [units - {"<root>", "_version", "__main__"} for units in FLOORS] == drawn(picture)


def test_the_document_names_the_bounds() -> None:
    """Of the floors inside a folder, and of the chain."""
    document = (SOURCE.parents[1] / "docs/architecture.md").read_text(encoding="utf-8")

    assert f"bounds the floors inside each folder ({FOLDER_FLOORS})" in document
    assert f"the longest chain of imports ({LONGEST_CHAIN})" in document


def test_no_class_name_stands_twice() -> None:
    """A name in a message or a trace says which class is meant."""
    names = class_names(SOURCE)

    assert [] == sorted({name for name in names if names.count(name) > 1})


def test_no_import_is_conjured() -> None:
    """No `import_module`: what is imported can be read."""
    assert [] == conjured(SOURCE)


def test_the_source_was_really_read(found: list[Import]) -> None:
    """The checks above saw the package, and every unit of it stands on a floor."""
    units = {unit_of(module) for module in modules(SOURCE)}

    assert {"wires", "server", "clients", "gateway", "testing", "errors", "cli"} <= units
    assert units <= frozenset().union(*FLOORS)
    assert {"aiohttp", "starlette", "msgspec"} <= {one.target.split(".")[0] for one in found}


#: name of a check -> a file that breaks its rule, and what the check says of it
BREACHES = {
    "rising": ("wires/sse.py", "from ..server import app", rising),
    "strangers": ("gateway/gateway.py", "import autonomousai.testing.server", rising),
    "cycle": ("wires/sse.py", "from . import openai", cycles),
    "cycle for type checkers": ("wires/sse.py", "if TYPE_CHECKING:\n    from .openai import ChatStreamDecoder", cycles),
    "hidden": ("wires/sse.py", "def f():\n    import json", hidden),
    "hidden behind a directive": ("wires/sse.py", "def f():\n    import json  # noqa: PLC0415", hidden),
    "hidden in a method": ("wires/sse.py", "class A:\n    async def f(self):\n        from json import loads", hidden),
    "misplaced": ("server/app.py", "import aiohttp", misplaced),
    "io in the wire": ("wires/sse.py", "import asyncio.subprocess", misplaced),
    "in the wrong folder of its unit": ("server/app.py", "import redis.asyncio", misplaced),
    "unheard of": ("server/app.py", "import flask", misplaced),
    "hasty": ("http/pool.py", "import aiohttp", hasty),
    "hasty without httptools": ("http/pool.py", "import httptools", hasty),
    "hasty by a file": ("http/pool.py", "from . import aiohttp_transport", hasty),
    "hasty where it may": ("cli/chat/session.py", "import sqlite3", hasty),
    "hasty by a file of the command line": ("cli/chat/session.py", "from .conversations import Conversations", hasty),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small package that keeps all rules."""
    files = {
        "__init__.py": "from .http import pool",
        "errors.py": "import re",
        "wires/__init__.py": "",
        "wires/sse.py": "from ..errors import HTTPError",
        "wires/openai.py": "from .sse import SSEDecoder\nimport msgspec",
        "gateway/gateway.py": "from ..errors import HTTPError",
        "http/__init__.py": "",
        "http/pool.py": "def f():\n    from . import aiohttp_transport  # noqa: PLC0415  at the first request",
        "http/aiohttp_transport.py": "import aiohttp",
        "cli/chat/conversations.py": "import sqlite3",
        "cli/chat/session.py": "def f():\n    from . import conversations  # sqlite3 comes with it",
        "server/app.py": "from ..wires import openai\nfrom starlette.applications import Starlette",
        "streams/stores/redis.py": "import redis.asyncio",
    }
    for name, text in files.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return tmp_path / PACKAGE


def test_a_tree_that_keeps_the_rules_passes(tree: Path) -> None:
    """The checks complain of nothing but breaches."""
    found = imports(tree)

    assert [[]] * 5 == [check(found) for check in (rising, cycles, hidden, misplaced, hasty)]
    assert [] == conjured(tree)


@pytest.mark.parametrize("breach", BREACHES)
def test_each_check_can_fail(tree: Path, breach: str) -> None:
    """One line against the rule, and the check names the file."""
    name, text, check = BREACHES[breach]
    path = tree / name
    path.write_text(path.read_text() + text + "\n")

    complaints = check(imports(tree))

    assert complaints
    assert name.removesuffix(".py").replace("/", ".") in "\n".join(complaints)


def test_a_conjured_import_is_found(tree: Path) -> None:
    """`import_module` is an import."""
    (tree / "errors.py").write_text("import importlib\nimportlib.import_module('json')\n")

    assert ["errors:2"] == conjured(tree)
