"""Try what the comparison in the documents says of others: ``python bench/rivals.py`` writes docs/comparison.json
and the tables of docs/comparison.md.

    python bench/peers.py       installs them first; gpt4free is in .venv-g4f, llm in .venv

Each client reads a scripted server that breaks in a known way; each gateway stands before two of them, and the first breaks.
A rival that is not installed is reported, and keeps the row that it had. Versions are kept beside the results.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from autonomousai.testing import Script, ScriptedServer

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs/comparison.json"
DOCUMENT = ROOT / "docs/comparison.md"
PEERS = ROOT / ".venv-peers"
WORDS = ("The", " sky", " is", " blue", ".")
WHOLE = "".join(WORDS)
PART = "The sky"
PATIENCE = 120
CHAT = "/v1/chat/completions"

#: What a client meets, and what is right: an error, never the part as an answer.
FAULTS: dict[str, Callable[[], Script]] = {
    "ends early, in good order": lambda: Script.cut("The", " sky", terminator=True),
    "connection lost": lambda: Script.cut("The", " sky"),
    "error event": lambda: Script.error_event("The", " sky"),
}

OPENAI = """
import openai
with openai.OpenAI(base_url=URL, api_key="none", max_retries=0) as client:
    for chunk in client.chat.completions.create(model="llama", messages=MESSAGES, stream=True):
        for choice in chunk.choices:
            add(choice.delta.content)
"""
LITELLM = """
import litellm
options = {"api_base": URL, "api_key": "none", "num_retries": 0}
for chunk in litellm.completion(model="openai/llama", messages=MESSAGES, stream=True, **options):
    for choice in chunk.choices:
        add(choice.delta.content)
"""
ANY_LLM = """
import any_llm
for chunk in any_llm.completion(model="llama", provider="openai", api_base=URL, api_key="none", messages=MESSAGES, stream=True):
    for choice in chunk.choices:
        add(choice.delta.content)
"""
LLM = """
import os, pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(folder)
(folder / "extra-openai-models.yaml").write_text(f'- model_id: scripted\\n  model_name: llama\\n  api_base: "{URL}"\\n')
import llm
for text in llm.get_model("scripted").prompt("Hello", key="none"):
    add(text)
"""
GPT4FREE = """
from g4f.client import Client
from g4f.Provider import OpenaiTemplate
class Scripted(OpenaiTemplate):
    base_url, working, needs_auth, models, default_model = URL, True, False, ["llama"], "llama"
for chunk in Client(provider=Scripted, api_key="none").chat.completions.create(model="llama", messages=MESSAGES, stream=True):
    for choice in chunk.choices:
        add(choice.delta.content)
"""
OURS = """
from autonomousai import OpenAICompatible
with OpenAICompatible(URL, retries=0).create_completion("llama", MESSAGES, stream=True) as completion:
    for text in completion.texts():
        add(text)
"""
AROUND = """
import json, sys, warnings
warnings.simplefilter("ignore")
URL, MESSAGES, came = sys.argv[1], [{"role": "user", "content": "Hello"}], []
def add(text):
    if text:
        came.append(str(text))
error = None
try:
    exec(compile(sys.stdin.read(), "client", "exec"))
except Exception as raised:
    error = type(raised).__name__
print("\\n" + json.dumps({"text": "".join(came), "error": error}))
"""

#: client -> the Python that has it, its package, and how it is used.
CLIENTS: dict[str, tuple[Path, str, str]] = {
    "autonomousai": (Path(sys.executable), "autonomousai", OURS),
    "openai-python": (Path(sys.executable), "openai", OPENAI),
    "LiteLLM": (PEERS / "litellm-client/bin/python", "litellm", LITELLM),
    "any-llm": (PEERS / "any-llm/bin/python", "any-llm-sdk", ANY_LLM),
    "llm": (Path(sys.executable), "llm", LLM),
    "gpt4free": (ROOT / ".venv-g4f/bin/python", "g4f", GPT4FREE),
}


def version(python: Path, package: str) -> str | None:
    """Of an installed package."""
    if not python.exists():
        return None
    command = [python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


async def ask(python: Path, source: str, url: str) -> dict[str, Any]:
    """What a client makes of the server at *url*: the text that came, and the name of what it raised."""
    process = await asyncio.create_subprocess_exec(
        python, "-c", AROUND, f"{url}/v1", stdin=-1, stdout=-1, stderr=-1, env={**os.environ, "NO_COLOR": "1"}
    )
    out, err = await asyncio.wait_for(process.communicate(source.encode()), PATIENCE)
    if process.returncode:
        raise RuntimeError(err.decode())
    answer: dict[str, Any] = json.loads(out.decode().rstrip().rpartition("\n")[2])
    return answer


async def try_client(name: str) -> dict[str, dict[str, Any]]:
    """What a client makes of an answer that is complete, and of each fault."""
    python, _, source = CLIENTS[name]
    results = {}
    for fault, script in {"complete": lambda: Script.stream(*WORDS), **FAULTS}.items():
        async with ScriptedServer(script()) as server:
            results[fault] = await ask(python, source, server.url)
    assert results["complete"] == {"text": WHOLE, "error": None}, (name, results)
    return results


# ---- gateways -------------------------------------------------------------------------------------------------------


def _our_config(first: str, second: str) -> str:
    return f"""
upstreams.first = {{ kind = "openai", base_url = "{first}/v1", prefill = "yes" }}
upstreams.second = {{ kind = "openai", base_url = "{second}/v1", prefill = "yes" }}
models.llama.route = ["first", "second"]
"""


def _litellm_config(first: str, second: str) -> str:
    def deployment(name: str, url: str) -> dict[str, Any]:
        return {"model_name": name, "litellm_params": {"model": "openai/llama", "api_base": f"{url}/v1", "api_key": "none"}}

    models = [deployment("llama", first), deployment("second", second)]
    routing = {"fallbacks": [{"llama": ["second"]}], "num_retries": 0}
    general = {"dangerously_permit_weak_or_unset_master_key": True}
    return json.dumps({"model_list": models, "router_settings": routing, "general_settings": general})


#: gateway -> the Python that has it, its package, the end of its config's name, what makes that, and its command.
GATEWAYS: dict[str, tuple[Path, str, str, Callable[[str, str], str], list[str]]] = {
    "autonomousai": (
        Path(sys.executable),
        "autonomousai",
        ".toml",
        _our_config,
        ["-m", "autonomousai", "serve", "--config", "CONFIG", "--port", "PORT"],
    ),
    "LiteLLM": (
        PEERS / "litellm/bin/python",
        "litellm",
        ".yaml",
        _litellm_config,
        ["-m", "litellm.proxy.proxy_cli", "--config", "CONFIG", "--host", "127.0.0.1", "--port", "PORT"],
    ),
}


@asynccontextmanager
async def serving(name: str, first: str, second: str) -> AsyncIterator[str]:
    """A gateway before two upstreams; its URL."""
    python, _, suffix, config, arguments = GATEWAYS[name]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"config{suffix}"
        path.write_text(config(first, second))
        words = [word.replace("CONFIG", str(path)).replace("PORT", str(port)) for word in arguments]
        log = Path(folder) / "log"
        with log.open("w") as file:
            process = await asyncio.create_subprocess_exec(python, *words, cwd=folder, stdout=file, stderr=file)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await asyncio.sleep(0.3)
                    assert process.returncode is None, log.read_text()
                    try:
                        await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/v1/models")
                    except OSError:
                        continue
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def read_stream(url: str) -> dict[str, Any]:
    """What a caller of a gateway gets: text, finish reason, whether [DONE] came, and what error."""
    body = {"model": "llama", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}
    result: dict[str, Any] = {"text": "", "finish_reason": None, "done": False, "error": None}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            for line in response:
                data = line.decode().removeprefix("data:").strip() if line.startswith(b"data:") else ""
                if data == "[DONE]":
                    result["done"] = True
                elif data:
                    _add(result, json.loads(data))
    except urllib.error.HTTPError as error:
        result["error"] = f"status {error.code}"
    except Exception as error:
        result["error"] = type(error).__name__
    return result


def _add(result: dict[str, Any], chunk: dict[str, Any]) -> None:
    if "error" in chunk:
        result["error"] = "an error event"
    for choice in chunk.get("choices") or ():
        result["text"] += choice["delta"].get("content") or ""
        result["finish_reason"] = choice.get("finish_reason") or result["finish_reason"]


async def try_gateway(name: str) -> dict[str, Any]:
    """What comes through a gateway whose first upstream breaks for good, and whether a caller who leaves ends the work."""
    results: dict[str, Any] = {}
    scripts = {
        "before the first word": lambda: Script.status(503),
        "connection lost": lambda: Script.cut("The", " sky"),
        "ends early, in good order": lambda: Script.cut("The", " sky", terminator=True),
    }
    for fault, script in scripts.items():
        async with ScriptedServer() as first, ScriptedServer(_rest) as second:
            first.play(script(), Script.status(503), path=CHAT)
            async with serving(name, first.url, second.url) as url:
                results[fault] = await asyncio.to_thread(read_stream, url)
                results[fault]["asked the second"] = bool([each for each in second.requests if each.method == "POST"])
    async with ScriptedServer() as first, ScriptedServer(_rest) as second:
        first.play(Script.stall("The", " sky"), path=CHAT)
        async with serving(name, first.url, second.url) as url:
            results["the caller leaves"] = await _leave(url, first)
    return results


def _rest(request: Any) -> Script:
    """The answer, or the rest of it to a caller that asks for a continuation with the part in its messages."""
    last = request.json()["messages"][-1] if request.method == "POST" else {}
    is_continued = last.get("role") == "assistant" and last.get("content") == PART
    return Script.stream(*WORDS[2:]) if is_continued else Script.stream(*WORDS)


async def _leave(url: str, upstream: ScriptedServer) -> str:
    """Read a little, go, and say what the upstream saw within ten seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    body = json.dumps({"model": "llama", "messages": [{"role": "user", "content": "Hello"}], "stream": True}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nAuthorization: Bearer none\r\n\r\n".encode() + body)
    await asyncio.wait_for(reader.readuntil(b"The"), PATIENCE)
    writer.close()
    (asked,) = [each for each in upstream.requests if each.method == "POST"]
    try:
        await asyncio.wait_for(asked.over(), 10)
    except TimeoutError:
        return "the upstream continues"
    return "the upstream is left"


def with_tables(text: str, found: dict[str, Any]) -> str:
    """The document with the tables of what was found."""
    for kind, cell in (("clients", _client_cell), ("gateways", _gateway_cell)):
        names = list(found[kind])
        heads = [f"{name} {found[kind][name]['version'] if name != 'autonomousai' else ''}".strip() for name in names]
        faults = [fault for fault in found[kind][names[0]] if fault not in ("version", "complete")]
        rows = [["", *heads], ["---"] * (len(names) + 1)]
        rows += [[fault, *(cell(found[kind][name][fault]) for name in names)] for fault in faults]
        table = (
            "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)
            .replace("| --- ", "|---")
            .replace("--- |", "---|")
        )
        before, _, rest = text.partition(f"<!-- {kind} -->\n")
        text = f"{before}<!-- {kind} -->\n\n{table}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def _client_cell(result: dict[str, Any]) -> str:
    text = f"“{result['text']}”" if result["text"] else "no text"
    return f"{text}, then `{result['error']}`" if result["error"] else f"{text}, **no error**"


def _gateway_cell(result: Any) -> str:
    if isinstance(result, str):
        return result
    end = result["error"] or f"finish reason `{result['finish_reason']}`"
    return f"“{result['text']}”, {end}"


async def main() -> None:
    """Try all that is installed."""
    kept = json.loads(TARGET.read_text()) if TARGET.exists() else {"clients": {}, "gateways": {}}
    for kind, rivals, trial in (("clients", CLIENTS, try_client), ("gateways", GATEWAYS, try_gateway)):
        for name, (python, package, *_) in rivals.items():
            if (number := version(python, package)) is None:
                print(f"{name} is not installed at {python}", file=sys.stderr)
                continue
            kept[kind][name] = {"version": number, **await trial(name)}
            print(kind, name, json.dumps(kept[kind][name], indent=1))
    TARGET.write_text(json.dumps(kept, indent=1) + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), kept))


if __name__ == "__main__":
    asyncio.run(main())
