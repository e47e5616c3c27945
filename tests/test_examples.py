"""The examples in docstrings run: each in the names of its own module, as it stands."""

from __future__ import annotations

import ast
import re
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from autonomousai import AutonomousAI, OpenAICompatible
from autonomousai.testing import ScriptedProvider, answer, scripted

SOURCE = Path(__file__).parents[1] / "src/autonomousai"

_EXAMPLE = re.compile(r"^Example::\n\n((?:    .*\n|\n)+)", re.MULTILINE)

#: Modules whose examples need what is not installed here; and what is theirs to say.
ELSEWHERE = frozenset({"ray"})


def examples() -> dict[str, tuple[str, str]]:
    """The module and the text of each example, by the module's and the object's name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for match in _EXAMPLE.finditer(f"{ast.get_docstring(node) or ''}\n"):
                    found[f"{module}:{node.name}"] = (module, textwrap.dedent(match[1]))
    return {name: example for name, example in found.items() if example[0] not in ELSEWHERE}


EXAMPLES = examples()


async def run(module: str, text: str, names: dict[str, Any]) -> None:
    """Run *text* as the body of a coroutine, since some of them wait, and what coroutines it defines."""
    code = f"async def example():\n{textwrap.indent(text, '    ')}\n    return locals()"
    space = {**vars(import_module(f"autonomousai.{module}")), **names}
    exec(compile(code, module, "exec"), space)  # what is tested
    defined = await space["example"]()
    for name, thing in defined.items():
        if name == "keep":
            await thing()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader may copy it."""
    module, text = EXAMPLES[name]
    messages = [{"role": "user", "content": "Hello"}]
    monkeypatch.setenv("AUTONOMOUSAI_BASE_URL", "http://127.0.0.1:9")
    with scripted() as llm, ScriptedProvider(answer("Hello", " world"), tokens=3) as provider:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", llm.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", llm.url)
        monkeypatch.setenv("GEMINI_API_KEY", "k")
        with OpenAICompatible(f"{llm.url}/v1", api_key="k") as asked:
            asked.create_completion("m", messages, stream=True).text()
        result = provider.create_completion("llama", messages)
        result.text()
        names = {"url": f"{llm.url}/v1", "AutonomousAI": AutonomousAI, "OpenAICompatible": OpenAICompatible, "run": str}

        await run(module, text, {**names, "provider": provider, "messages": messages, "result": result, "llm": llm})


def test_the_examples_were_found() -> None:
    """The pattern finds them, and none is written in another form."""
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]

    assert len(EXAMPLES) > 40
    assert sum(text.count("Example::") for text in texts) == len(EXAMPLES) + len(ELSEWHERE)
