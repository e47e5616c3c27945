"""pytest's plugin: the fixtures ``scripted_llm``, ``recorded_llm`` and ``live_llm``, and the options that belong to them.

pytest imports this module in every project where `autonomousai` is installed. So nothing of the package is imported before a
test asks for a fixture, and the module stands beside the package, whose own import costs something.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from autonomousai.testing.doubles.fixtures import LiveLLM, RecordedLLM, ScriptedLLM, TestDoubles

#: As pytest-recording has them, so that one option serves both where both are installed.
MODES = ("once", "none", "all", "rewrite", "new_episodes")

_doubles: pytest.StashKey[Any] = pytest.StashKey()
_passed: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """The options, and the setting where recordings are."""
    if not _may_be_shared(pluginmanager):
        _add_record_mode(parser)
    _group(parser).addoption(
        "--llm-chaos-seed", type=int, default=None, metavar="N", help="the seed of faults that are drawn: repeats a failed test"
    )
    parser.addini("llm_recordings", "the folder of recordings, beside each test file", default="recordings")


def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> None:
    """The option that pytest-recording has too, where that is installed and not loaded: now all plugins are known."""
    plugins = early_config.pluginmanager
    loaded = (getattr(plugin, "__name__", "") for _, plugin in plugins.list_name_plugin())
    if _may_be_shared(plugins) and not any(name.partition(".")[0] == "pytest_recording" for name in loaded):
        _add_record_mode(parser)


def _may_be_shared(plugins: pytest.PytestPluginManager) -> bool:
    """Return whether pytest-recording could bring the option."""
    return importlib.util.find_spec("pytest_recording") is not None and not plugins.is_blocked("recording")


def _add_record_mode(parser: pytest.Parser) -> None:
    _group(parser).addoption(
        "--record-mode",
        choices=MODES,
        default=None,
        help="recorded_llm: once (the default) records what has no recording yet; none only replays, for CI; all or "
        "rewrite records again; new_episodes records what a recording lacks",
    )


def _group(parser: pytest.Parser) -> pytest.OptionGroup:
    return parser.getgroup("autonomousai", "recordings of language models (autonomousai.testing)")


@pytest.fixture
def _llm_doubles(request: pytest.FixtureRequest) -> Iterator[TestDoubles]:
    """The servers of this test. They end with it; what it should not have passed over fails it."""
    from autonomousai.testing.doubles.fixtures import TestDoubles  # noqa: PLC0415  costs nothing where no test asks for it

    node: Any = request.node
    names = [part.removesuffix("()") for part in node.nodeid.split("::")[1:]]
    config = request.config
    doubles = TestDoubles(
        node.path,
        ".".join(names) or node.name,
        node.nodeid,
        config.getini("llm_recordings"),
        config.getoption("record_mode", None) or "once",
        config.getoption("llm_chaos_seed", None),
    )
    node.stash[_doubles] = doubles
    with _no_proxy():
        yield doubles
    passed = node.stash.get(_passed, False)
    doubles.finish(passed=passed)
    if passed and (problems := doubles.problems()):
        pytest.fail("\n".join(problems), pytrace=False)


@contextlib.contextmanager
def _no_proxy() -> Iterator[None]:
    """Where the environment names proxies, none is for this machine: clients would look for the test's servers behind them."""
    with pytest.MonkeyPatch.context() as patch:
        if any(os.environ.get(f"{kind}_proxy") or os.environ.get(f"{kind.upper()}_PROXY") for kind in ("http", "https", "all")):
            told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
            for name in ("no_proxy", "NO_PROXY"):
                patch.setenv(name, ",".join(filter(None, [told, "127.0.0.1"])))
        yield


@pytest.fixture
def scripted_llm(_llm_doubles: TestDoubles) -> ScriptedLLM:
    """Starts servers that play scripts: scripted_llm("cut"), scripted_llm(Script.stream("Hello"), chaos="529")."""
    from autonomousai.testing.doubles.fixtures import ScriptedLLM  # noqa: PLC0415  see above

    return ScriptedLLM(_llm_doubles)


@pytest.fixture
def recorded_llm(_llm_doubles: TestDoubles) -> RecordedLLM:
    """Starts servers that replay what was recorded of this test, or record it: recorded_llm("https://api.openai.com/v1")."""
    from autonomousai.testing.doubles.fixtures import RecordedLLM  # noqa: PLC0415  see above

    return RecordedLLM(_llm_doubles)


@pytest.fixture
def live_llm(_llm_doubles: TestDoubles) -> LiveLLM:
    """Starts proxies before a real server that break its answers: live_llm("http://127.0.0.1:8000/v1", chaos="cut")."""
    from autonomousai.testing.doubles.fixtures import LiveLLM  # noqa: PLC0415  see above

    return LiveLLM(_llm_doubles)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Note whether the test passed; where it failed, show what the servers saw."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[_passed] = report.passed
    doubles = item.stash.get(_doubles, None)
    if doubles is not None and report.failed and report.when == "call" and doubles.doubles:
        text, said = doubles.log(), str(call.excinfo.value) if call.excinfo is not None else ""
        if text not in said:  # assertions of the doubles say it themselves
            report.sections.append(("autonomousai.testing", text))
