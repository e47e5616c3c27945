"""Faults on answers, by name or by seed: `faults` has them and draws them, `lines` is what they do to the bytes."""

from .faults import CHAOS, Chaos, Fault

__all__ = ["CHAOS", "Chaos", "Fault"]
