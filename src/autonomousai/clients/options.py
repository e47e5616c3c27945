"""A caller's options that stay on this side of the wire: timeouts, headers, key, proxy, retries. Knows no wire and no
network."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

import msgspec

from ..errors import ConfigError
from ..http.proxies import Proxy
from ..late import late_pattern
from ..request import CallOptions, as_flag
from ..timeouts import Clocks
from .retries import DEFAULT_RETRIES, check_retries

#: What a client allows where nothing is said: more than a server allows its upstreams, since it may have to queue there.
CLIENT_CLOCKS = Clocks(connect=5, first_token=120, idle=30, total=600, first_token_alive=600)

#: Seconds that a timeout may be set to.
_LONGEST = 10_000_000


#: A key as servers give it out: nothing that is copied or read along with it.
_KEY: Final = late_pattern(r"[!#-&(-~]+")


class ClientOptions(msgspec.Struct, frozen=True):
    """How one request is to be sent, apart from what it says. ``clocks``: where the call has none of its own. ``has_own_key``:
    the key is the call's, and the headers may be the provider's."""

    clocks: Clocks
    headers: Mapping[str, str] = {}
    api_key: str | None = None
    proxy: Proxy | None = None
    retries: int = DEFAULT_RETRIES
    has_own_key: bool = False

    def __post_init__(self) -> None:
        check_retries(self.retries)
        if self.api_key is not None and not isinstance(self.api_key, str):
            raise ConfigError(f"api_key must be text, not {type(self.api_key).__name__}")
        if (key := self.api_key) and not _KEY.fullmatch(key):
            raise ConfigError(
                "api_key must be visible ASCII characters, without spaces, quotes or 'Bearer'; was a line's end read with it?"
            )
        for name, value in self.headers.items():
            if not isinstance(name, str):
                raise ConfigError(f"headers: the name {name!r} must be text")
            if not isinstance(value, str) or "\n" in value or "\r" in value or "\0" in value:
                raise ConfigError(f"headers: the value of {name!r} must be text of one line")

    def __repr__(self) -> str:
        """Show neither the key nor a header; see `PreparedRequest`."""
        return f"<ClientOptions {self.clocks}, retries={self.retries}>"

    def merged(self, call: CallOptions) -> ClientOptions:
        """Return these options with those of one *call* over them; its clocks are read by `read_timeout`."""
        if not call.proxy and call.headers is None and call.api_key is None and call.retries in (None, self.retries):
            return self
        return ClientOptions(
            clocks=self.clocks,
            headers=_laid_over(self.headers, as_headers(call.headers)) if call.headers else self.headers,
            api_key=self.api_key if call.api_key is None else call.api_key,
            proxy=Proxy(call.proxy) if call.proxy else self.proxy,
            retries=self.retries if call.retries is None else call.retries,
            has_own_key=call.api_key is not None,
        )

    def is_sent_as(self, usual: ClientOptions) -> bool:
        """Return whether a request has the headers and the key of the *usual* options, however often it is tried."""
        return self.headers is usual.headers and self.api_key is usual.api_key and self.has_own_key is usual.has_own_key

    def signed(self, headers: Mapping[str, str], auth: Mapping[str, str]) -> dict[str, str]:
        """Return *headers*, those of these options over them, and *auth*, which carries the key. A header of the same name,
        however it is written, is what the caller means instead; but for the provider's, where the key is the call's."""
        names = {name.lower() for name in auth}
        if self.has_own_key:
            return _laid_over(_laid_over(headers, self.headers), auth)
        if not names.isdisjoint(name.lower() for name in self.headers):
            auth = {}
        return _laid_over({**headers, **auth}, self.headers)


def _laid_over(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return *headers*, and in the place of those of the same names, however they are written, *own*: two values of one header
    could be two keys."""
    names = {name.lower() for name in own}
    return {**{name: value for name, value in headers.items() if name.lower() not in names}, **own}


def as_headers(headers: Any) -> dict[str, str]:
    """Return headers as a dict. Raises `ConfigError` where they are none."""
    try:
        return dict(headers or {})
    except (TypeError, ValueError):
        advice = 'write them as {"name": "value"}'
        raise ConfigError(f"headers must be a mapping, not {type(headers).__name__}", advice=advice) from None


def check_settings(ssl_context: Any, model: Any = None, models: Any = (), *, trust_env: Any = True, vision: Any = True) -> None:
    """Raise `ConfigError`, or `ValueError` for a flag, for settings of a client that mean nothing, or something else than they
    say: a text is a sequence too, and ``"no"`` is true."""
    if ssl_context is not None and not hasattr(ssl_context, "wrap_bio"):
        advice = 'make one with ssl.create_default_context(cafile="…")'
        raise ConfigError(f"ssl_context must be an ssl.SSLContext, not {ssl_context!r:.50}", advice=advice)
    if model is not None and not isinstance(model, str):
        raise ConfigError(f"model must be text, not {type(model).__name__}")
    if isinstance(models, str) or not all(isinstance(name, str) for name in models):
        raise ConfigError(f"models must be a list of names, not {models!r:.50}", advice='write models=["NAME"]')
    as_flag("trust_env", trust_env)
    as_flag("vision", vision)


def clocks_of(call: CallOptions, default: Clocks) -> Clocks:
    """Return the clocks of one *call*; see `read_timeout`."""
    clocks = default if call.timeout is None else read_timeout(call.timeout, default)
    return clocks.patient() if call.last else clocks


def read_timeout(timeout: float | Mapping[str, float] | Clocks | None, default: Clocks) -> Clocks:
    """Clocks from what a caller may write: seconds for the whole answer, a mapping of single clocks, or all of them.

    Raises `ValueError` that names the clocks there are.
    """
    if timeout is None:
        return default
    if isinstance(timeout, Clocks):
        return timeout
    named = dict(timeout) if isinstance(timeout, Mapping) else {"total": timeout}
    for name, seconds in named.items():
        if name not in Clocks.__struct_fields__:
            raise ValueError(f"timeout has no part {name!r}; its parts are: {', '.join(Clocks.__struct_fields__)}")
        named[name] = _seconds(name, seconds)
    return msgspec.structs.replace(default, **Clocks.with_last(named))


def _seconds(name: str, said: Any) -> float:
    """Return a number of seconds as a plain one: numpy's and decimal ones are others, and an infinity is the longest."""
    if type(said) in (int, float):
        seconds = said
    elif isinstance(said, bool | str) or not hasattr(said, "__float__"):
        seconds = -1
    else:
        seconds = float(said)
    if seconds == inf:
        return _LONGEST
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"timeout: {name!r} must be a number of seconds above 0, at most {_LONGEST}, not {said!r}")
    return seconds  # type: ignore[no-any-return]
