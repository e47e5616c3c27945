"""Finding out what a server can do, by asking it. What is sent and read is in `probed_server`; what it speaks beside chat
completions is asked in `probed_wires`.

Some fifteen short questions, one after the other. What cannot be found out from outside is said to be unknown.
"""

from __future__ import annotations

import asyncio
import base64
import re
import struct
import time
import zlib
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec

from ..clients.openai import OpenAICompatible
from ..clients.vendors import (
    ANTHROPIC_VENDOR,
    VENDORS,
    Vendor,
    VendorName,
    is_anthropics,
    vendor_at,
    vendor_by_owner,
    vendor_of,
)
from ..errors import HTTPError, ProviderError, StatusError, StreamError
from ..http.urls import below, check_base_url, without_credentials
from ..timeouts import Clocks
from ..wires.anthropic_messages.message import VERSION
from ..wires.model_list import read_model_list
from ..wires.redaction import redact
from .errors import in_words
from .probed_server import COLD, WARM, ProbedServer, StreamFound
from .probed_wires import AUTHORIZATION, WireTarget, ask_embeddings, ask_messages, ask_responses, makes_vectors

Result = Literal["yes", "no", "unknown"]

_HELLO: Final = [{"role": "user", "content": "Say hello."}]
_LONG: Final = [{"role": "user", "content": "Count from one to one thousand, in words."}]

#: The wires beside chat completions: how each is asked, and where.
_WIRES: Final = {
    "Responses": (ask_responses, "/responses"),
    "Messages": (ask_messages, "/v1/messages"),
    "embeddings": (ask_embeddings, "/embeddings"),
}

#: Seconds that a server may take to notice that a caller left.
_NOTICED: Final = 3.0


class Finding(msgspec.Struct):
    """One thing that was looked at. ``found``: in words; ``how`` that was found out."""

    check: str
    result: Result
    found: str
    how: str


class Probe:
    """One server, asked: ``findings`` grows as it is; ``settings`` is what a config would say of it."""

    def __init__(self, base_url: str, *, api_key: str | None, model: str | None) -> None:
        self.base_url = check_base_url(base_url, query=True)
        self.findings: list[Finding] = []
        self.name = "upstream"
        self.vendor: VendorName | None = vendor_at(self.base_url)
        shown = below(without_credentials(self.base_url), "".join(self.base_url.partition("?")[1:]))
        self.settings: dict[str, Any] = {"kind": "openai", "base_url": shown}
        if model:
            self.settings["model"] = model
        self._api_key = api_key
        headers = self.row.auth_headers(api_key) if api_key else {}
        if is_anthropics(self.base_url):
            self.name = "anthropic"
            self.base_url = f"{ANTHROPIC_VENDOR.base_url}/v1"
            headers["anthropic-version"] = VERSION
        self._server = ProbedServer(self.base_url, api_key=api_key, headers=headers)
        self._server.model = model or ""
        self._first: list[float] = []
        self._listed: tuple[str, ...] = ()

    @property
    def row(self) -> Vendor:
        """What is known of whose server it is."""
        return ANTHROPIC_VENDOR if is_anthropics(self.base_url) else vendor_of(self.vendor)

    @property
    def model(self) -> str:
        """The model that is asked; "" while none is known."""
        return self._server.model

    @property
    def answers(self) -> bool:
        """Whether the server answers over one of the wires; by vectors where its model is one that makes them."""
        chats = any(map(self._speaks, ("streaming", "Responses", "Messages")))
        return chats or (self._speaks("embeddings") and makes_vectors(self.model))

    def _speaks(self, check: str) -> bool:
        return any(each.check == check and each.result == "yes" for each in self.findings)

    async def run(self) -> None:
        """Ask everything."""
        try:
            self._recognize(self.vendor, "the host of its address")
            if not await self._models():
                return
            if await self._streaming():
                self._server.clocks = WARM
                for name, check in (
                    ("complete answers", self._document),
                    ("first token", self._latency),
                    ("error shape", self._error_shape),
                    ("unknown models", self._unknown_model),
                    ("prefill", self._prefill),
                    ("vision", self._vision),
                    ("tools", self._tools),
                    ("cancellation", self._cancellation),
                ):
                    try:
                        await check()
                    except HTTPError as error:
                        self._note(name, "unknown", in_words(error), "it did not answer")
            await self._further_wires()
        finally:
            await self._server.aclose()

    def _note(self, check: str, result: Result, found: str, how: str) -> None:
        clean = " ".join(redact(found, (self._api_key,) if self._api_key else ()).split())
        self.findings.append(Finding(check, result, clean[:300], how))

    def _client(self, model: str | None, clocks: Clocks) -> OpenAICompatible:
        """Return a client as a config would make one."""
        return OpenAICompatible(
            self.base_url, vendor=self.vendor, api_key=self._api_key or "", model=model, timeout=clocks, retries=0
        )

    def _recognize(self, told: VendorName | None, how: str) -> None:
        """Note whose server it is, where that is known."""
        if told is None or any(each.check == "vendor" for each in self.findings):
            return
        self.vendor = told
        row = VENDORS[told]
        self.name = told
        self.settings["vendor"] = told
        if self.base_url == row.base_url:
            del self.settings["base_url"]
        self._note("vendor", "yes", f"{row.title}, as the table of vendors knows it", how)

    # ---- the questions

    async def _further_wires(self) -> None:
        """Ask over the other wires, and settle which of them a config would name."""
        target = WireTarget(self.base_url, self.vendor, self._api_key, self.model, self._listed, WARM)
        for name, (ask, path) in _WIRES.items():
            try:
                self._note(name, "yes", await ask(target), f"POST {path}")
            except ProviderError as error:
                passes = isinstance(error, HTTPError) and error.retryable
                self._note(name, "unknown" if passes else "no", in_words(error), f"POST {path}")
        chats, responds = self._speaks("streaming"), self._speaks("Responses")
        is_own = is_anthropics(self.base_url)
        if self._speaks("Messages") and (is_own or not (chats or responds)):
            kept = {name: value for name, value in self.settings.items() if name in ("model", "context")}
            place = {} if is_own else {"base_url": without_credentials(target.root)}
            bearer = any(each.check == "Messages" and each.found.endswith(AUTHORIZATION) for each in self.findings)
            self.settings = {"kind": "anthropic", **place, **kept, **({"key_header": "authorization"} if bearer else {})}
        elif responds and not chats:
            self.settings["api"] = "responses"

    async def _models(self) -> bool:
        how = "GET /models"
        try:
            listed = read_model_list(await self._server.get(below(self.base_url, "/models")))
        except StatusError as error:
            self._note("models", "no", in_words(error), how)
            listed = []
            if error.status in (401, 403):
                return False
        except HTTPError as error:
            self._note("models", "no", in_words(error), how)
            return isinstance(error, StreamError) and bool(self.model)
        names = [model.id for model in listed]
        self._listed = tuple(names)
        if names:
            self._note("models", "yes", f"{', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}", how)
        owners = {model.owned_by for model in listed}
        self._recognize(vendor_by_owner(owners), "owned_by in its list of models")
        if "autonomousai" in owners:
            self.name = "autonomousai"
        self._server.model = self.model or (names[0] if names else "")
        if not self.model:
            self._note("model", "no", "the server lists none; name one with --model", how)
            return False
        self.settings["model"] = self.model
        entry = next((model.fields for model in listed if model.id == self.model), dict[str, Any]())
        context = entry.get("max_model_len") or entry.get("context_length") or entry.get("context_window")
        if isinstance(context, int) and context > 0:
            self.settings["context"] = context
            self._note("context", "yes", f"{context} tokens", "what it says in its list of models")
        return True

    async def _streaming(self) -> bool:
        how = "POST /chat/completions with stream"
        try:
            try:
                stream = await self._hello(max_tokens=32)
            except StatusError:
                if not await self._takes_another_form():
                    raise
                stream = await self._hello(max_tokens=32)
        except HTTPError as error:
            self._note("streaming", "no", in_words(error), how)
            return False
        if not stream.choices():
            self._note("streaming", "no", f"no chunk came; the answer was {stream.content_type or 'of no type'}", how)
            return False
        self._note("streaming", "yes", f"{len(stream.events)} events of {stream.content_type or 'no type'}", how)
        reason, usage = stream.finish_reason(), stream.usage()
        self._note(
            "finish reason", _word(reason), reason or "none: only [DONE] or usage can prove its end", "the stream's chunks"
        )
        counted = usage and f"{usage.get('prompt_tokens')} and {usage.get('completion_tokens')} tokens"
        self._note("usage", _word(usage), counted or "none in the stream", "stream_options.include_usage")
        self._note(
            "[DONE]", _word(stream.done), "it came last" if stream.done else "it did not come", "the stream's last event"
        )
        self._first = [stream.first] if stream.first is not None else []
        return True

    async def _hello(self, *, max_tokens: int) -> StreamFound:
        """A short streamed answer. Whose server it is may stand in its headers, whatever its status."""
        try:
            return await self._server.stream(_HELLO, max_tokens=max_tokens)
        finally:
            self._recognize(self._server.vendor, "the headers of its answers")

    async def _takes_another_form(self) -> bool:
        """Return whether the server answers where the request is said otherwise: ``max_completion_tokens``, no options of a
        stream, no stream. From then on it is asked so."""
        async with self._client(None, COLD) as provider:
            await provider.create_async_generator(self.model, _HELLO, stream=True, max_tokens=32).text()
            forms = [form for _, form in provider.status().adaptations]
        self._server.adaptations.remember(self.model, forms)
        if forms:
            self._note(
                "request forms", "yes", f"it takes {', '.join(forms)}", "it refused the usual form; clients adapt by themselves"
            )
        return bool(forms)

    async def _document(self) -> None:
        how = "the same without stream"
        try:
            document = await self._server.post({"messages": _HELLO, "max_tokens": 32})
            choice = document["choices"][0]
            found = f"finish reason {choice.get('finish_reason')!r}, usage {'told' if document.get('usage') else 'not told'}"
            self._note("complete answers", "yes", found, how)
        except HTTPError as error:
            self._note("complete answers", "no", in_words(error), how)
        except (LookupError, TypeError, AttributeError):
            self._note("complete answers", "no", "the answer has no choices", how)

    async def _latency(self) -> None:
        for _ in range(2):
            with suppress(HTTPError):
                stream = await self._hello(max_tokens=4)
                self._first += [stream.first] if stream.first is not None else []
        times = ", ".join(f"{1000 * each:.0f}" for each in self._first)
        found = f"{1000 * sorted(self._first)[len(self._first) // 2]:.0f} ms" if self._first else "no text came"
        self._note("first token", _word(self._first), found, f"short prompts: {times} ms" if times else "short prompts")

    async def _error_shape(self) -> None:
        how = "a request whose messages are no list"
        status, body = await self._server.refused({"model": self.model, "messages": "no list"})
        error = body.get("error") if isinstance(body, dict) else None
        if status < 400:
            self._note("error shape", "no", f"it answered {status}: it does not look at what it is sent", how)
        elif isinstance(error, dict) and isinstance(error.get("message"), str):
            missing = ", ".join(key for key in ("type", "param", "code") if key not in error)
            found = f"{status} with OpenAI's object" + (f", without {missing}" if missing else "")
            self._note("error shape", "yes", found, how)
        else:
            shown = ", ".join(body) if isinstance(body, dict) else "text"
            found = f"{status} with another shape ({shown}); its words are understood all the same"
            self._note("error shape", "no", found, how)

    async def _unknown_model(self) -> None:
        name = "no-such-model-autonomousai"
        status, _ = await self._server.refused({"model": name, "messages": _HELLO, "max_tokens": 1})
        found = "it answers whatever model is named" if status < 400 else f"it refuses with {status}"
        self._note("unknown models", "no" if status < 400 else "yes", found, f"asked for {name!r}")

    async def _prefill(self) -> None:
        async with self._client(self.model, WARM) as provider:
            known = provider.capabilities.continues
            continues = await provider.continues()
        found = "it continues an answer from its beginning" if continues else "it does not continue an answer"
        how = f"{vendor_of(self.vendor).title} does" if known else 'asked to continue "one two three four five"'
        self._note("prefill", _word(continues), found, how)
        self.settings["prefill"] = "yes" if continues else "no"

    async def _vision(self) -> None:
        how = "a red square, and what colour it has"
        parts = [{"type": "text", "text": "Which colour is this image? Answer with one word."}, red_square()]
        try:
            document = await self._server.post(
                {"messages": [{"role": "user", "content": parts}], "max_tokens": 200, "temperature": 0}
            )
            text = str(document["choices"][0]["message"].get("content"))
        except HTTPError as error:
            self._note("vision", "no", in_words(error), how)
            return
        except (LookupError, TypeError, AttributeError):
            self._note("vision", "unknown", "the answer has no message", how)
            return
        sees = re.search(r"\bred\b", text, re.IGNORECASE) is not None
        self._note("vision", _word(sees), "it named the colour" if sees else f"it took the image, and said {text[:60]!r}", how)
        if sees:
            self.settings["vision"] = True

    async def _tools(self) -> None:
        how = "a question with a function for it"
        function = {
            "name": "get_weather",
            "description": "The weather in a city, now.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }
        question = [{"role": "user", "content": "What is the weather in Paris? Use the function."}]
        try:
            document = await self._server.post(
                {"messages": question, "tools": [{"type": "function", "function": function}], "max_tokens": 200}
            )
            calls = document["choices"][0]["message"].get("tool_calls")
            name = calls[0]["function"]["name"] if calls else ""
        except HTTPError as error:
            self._note("tools", "no", in_words(error), how)
            return
        except (LookupError, TypeError, AttributeError):
            calls, name = None, ""
        self._note("tools", _word(calls), f"it called {name}" if calls else "it answered in words", how)

    async def _cancellation(self) -> None:
        before = await self._server.running()
        if before is None:
            self._note("cancellation", "unknown", "nothing from outside shows it", "no gauge of running requests at /metrics")
            return
        how = "left a long answer, and watched the gauge at /metrics"
        try:
            async with self._server.open({"messages": _LONG, "max_tokens": 2000, "stream": True}) as (response, _):
                await response.read_some()
                during = await self._server.running()
        except HTTPError as error:
            self._note("cancellation", "unknown", in_words(error), how)
            return
        if during is None or during <= before:
            self._note("cancellation", "unknown", f"the gauge stood at {before:g} and did not move", how)
            return
        left = time.monotonic()
        while (now := await self._server.running()) is None or now > before:
            if time.monotonic() - left > _NOTICED:
                self._note("cancellation", "no", f"it was still at work {_NOTICED:g} s later", how)
                return
            await asyncio.sleep(0.05)
        self._note("cancellation", "yes", f"it stopped within {1000 * (time.monotonic() - left):.0f} ms", how)


def _word(found: object) -> Result:
    return "yes" if found else "no"


def red_square() -> dict[str, Any]:
    """The part of a message that carries a red square of 64 by 64 points."""
    lines = (b"\0" + b"\xff\0\0" * 64) * 64
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(png).decode()}"}}
