"""What a caller's key allows: which models and APIs, and how much. Whose a request is, `auth` has found.

A caller whose key has no name is never brought here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import ModelNotFoundError, StatusError
from ..http.server.exchange import Exchange
from ..keys.limits import Decision, Limits
from ..keys.quotas import KeyQuotas
from ..keys.records import KeyRecord
from ..keys.refusals import KeyLimitError, limit_lines
from ..keys.reservations import Reservation
from ..provider import AsyncGeneratorProvider, ProviderModelMixin
from ..request import ChatRequest
from ..telemetry.metrics import Metrics
from ..wires.base import Wire
from ..wires.registry import ANTHROPIC_MESSAGES

#: Fields of requests by which gateways are given further models to ask (OpenRouter's and LiteLLM's).
_OTHER_MODELS: Final = ("models", "fallbacks")


class _Rights(msgspec.Struct, frozen=True):
    """What the policy of ``record`` says, with models by their own names. Empty: all."""

    record: KeyRecord
    models: frozenset[str]
    beginnings: tuple[str, ...]


class Admission:
    """*resolve*: a model's own name; *has_cheaper_route*: whether a model has one for callers who have spent their budget;
    *quotas*: what keys may use."""

    def __init__(
        self,
        provider: AsyncGeneratorProvider,
        *,
        resolve: Callable[[str], str],
        has_cheaper_route: Callable[[str], bool],
        quotas: KeyQuotas,
        metrics: Metrics,
    ) -> None:
        self._quotas = quotas
        #: Whether nothing is waited for, since this process alone counts.
        self.at_once = quotas.reserves_at_once
        self._metrics = metrics
        self._provider = provider
        self._resolve = resolve
        self._has_cheaper_route = has_cheaper_route
        self._rights: dict[str, _Rights] = {}

    def forget(self) -> None:
        """Look up again what models' names mean."""
        self._rights.clear()

    def may_use(self, record: KeyRecord | None, model: str) -> bool:
        """Return whether a caller may use *model*, which is named by its own name."""
        if record is None or not record.policy.models:
            return True
        rights = self._rights_of(record)
        return model in rights.models or model.startswith(rights.beginnings)

    def resolve(self, record: KeyRecord, wire: Wire, name: str) -> str:
        """Return the model's own name that the caller's *name* means. Raises `ModelNotFoundError` where there is none that the
        key may use, and tells of no other; `StatusError` 403 where it may not use *wire*."""
        if record.policy.wires:
            check_wire(record, wire)
        if not record.policy.models:
            return self._resolve(name)
        try:
            model = self._resolve(name)
        except ModelNotFoundError:
            model = ""
        rights = self._rights.get(record.id)
        if rights is None or rights.record is not record:
            rights = self._rights_of(record)
        if not model or not (model in rights.models or model.startswith(rights.beginnings)):
            raise ModelNotFoundError(name, self.models_of(record))
        return model

    def models_of(self, record: KeyRecord) -> list[str]:
        """Return the models that there are and that the key may use."""
        models = self._provider.get_models() if isinstance(self._provider, ProviderModelMixin) else []
        return [model for model in models if self.may_use(record, model)]

    async def reserve(
        self, exchange: Exchange, wire: Wire, model: str = "", request: ChatRequest | None = None
    ) -> Reservation | None:
        """Reserve what *request* may use, and note in the response's headers what is left of the limits. None where the
        caller's key has no limits. Raises `StatusError` 429 where they do not admit it, 403 where they cannot be kept."""
        if self.at_once:
            return self.reserve_now(exchange, wire, model, request)
        record = exchange.caller
        _check_fields(record, request)
        try:
            reservation = await self._quotas.reserve(
                record, exchange.request_id, model, request, answers=wire.streams, cheaper=self._has_cheaper_route
            )
        except KeyLimitError as error:
            raise self._noted(error, exchange, wire) from None
        if reservation is not None:
            _add_headers(exchange, wire, reservation.limits, reservation.decision)
        return reservation

    def reserve_now(
        self, exchange: Exchange, wire: Wire, model: str = "", request: ChatRequest | None = None
    ) -> Reservation | None:
        """Reserve as `reserve` does, where that is ``at_once``."""
        record = exchange.caller
        if request is not None:
            if request.fields or request.origin is not None:
                _check_fields(record, request)
            if wire.streams:
                granted = self._quotas.grant(record, exchange.request_id, model, request)
                if granted is not None:
                    _add_headers(exchange, wire, granted.limits, granted.decision)
                    return granted
        try:
            reservation = self._quotas.reserve_now(
                record, exchange.request_id, model, request, answers=wire.streams, cheaper=self._has_cheaper_route
            )
        except KeyLimitError as error:
            raise self._noted(error, exchange, wire) from None
        if reservation is not None:
            _add_headers(exchange, wire, reservation.limits, reservation.decision)
        return reservation

    def _noted(self, error: KeyLimitError, exchange: Exchange, wire: Wire) -> KeyLimitError:
        """Count a refusal, and add the headers of its response."""
        self._metrics.key_refusal(exchange.caller.name, error.decision.refused)
        _add_headers(exchange, wire, error.limits, error.decision)
        if error.decision.wait <= 0:
            exchange.extra = [*exchange.extra, (b"x-should-retry", b"false")]
        return error

    def _rights_of(self, record: KeyRecord) -> _Rights:
        rights = self._rights.get(record.id)
        if rights is None or rights.record is not record:
            rights = self._rights[record.id] = self._read(record)
        return rights

    def _read(self, record: KeyRecord) -> _Rights:
        models, beginnings = set(), []
        for name in record.policy.models:
            if name.endswith("*"):
                beginnings.append(name[:-1])
                continue
            try:
                models.add(self._resolve(name))
            except ModelNotFoundError:
                models.add(name)  # it may come
        if beginnings and isinstance(self._provider, ProviderModelMixin):
            aliases = self._provider.model_aliases.items()
            models.update(model for alias, model in aliases if alias.startswith(tuple(beginnings)))
        return _Rights(record, frozenset(models), tuple(beginnings))


def check_wire(record: KeyRecord, wire: Wire) -> None:
    """Raise `StatusError` 403 where the key may not use *wire*."""
    wires = record.policy.wires
    if wires and wire.name not in wires:
        raise StatusError(
            f"the key {record.name!r} may not use this API; it may use: {', '.join(wires)}",
            status=403,
            type="permission_error",
            code="api_not_allowed",
        )


def _check_fields(record: KeyRecord, request: ChatRequest | None) -> None:
    """Raise `StatusError` 403 for a request that names further models, where the key has a list of them or a budget in money:
    an upstream that is a gateway would ask those."""
    if request is None or not (request.fields or request.origin is not None):
        return
    if not record.policy.models and record.policy.budget is None:
        return
    document = {} if request.origin is None else request.origin.document
    for name in _OTHER_MODELS:
        if request.fields.get(name) is not None or document.get(name) is not None:
            raise StatusError(
                f"{name}: the key {record.name!r} may not name further models for an upstream to ask; leave it out",
                status=403,
                type="permission_error",
                param=name,
                code="model_not_allowed",
            )


def _add_headers(exchange: Exchange, wire: Wire, limits: Limits, decision: Decision) -> None:
    if limits.requests or limits.tokens:
        exchange.lines = limit_lines(limits, decision, time.time(), anthropic=wire is ANTHROPIC_MESSAGES)
