"""How much memory a model takes, how much there is, and what context fits. Knows the system's own figures; no engine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from .model_file import ModelFile

#: What is used of the memory that is free where no limit is set: the rest is for others, and for what grows.
SHARE: Final = 0.75

#: Beside weights and cache: the process itself, and buffers that grow with the vocabulary (64 tokens are worked on at once).
_PROCESS: Final = 80_000_000
_PER_TOKEN: Final = 64 * 4

#: Of the size of a projector: its weights, and what it works in.
_SEEING: Final = 1.5

#: Tokens: the least context that is of use, the one that a model gets before it must share with others, steps between, and what
#: is taken where a file does not say its own.
LEAST_CONTEXT: Final = 512
USUAL_CONTEXT: Final = 4096
_STEP: Final = 256

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)


def read_size(text: str) -> int:
    """Return the bytes that *text* means: ``8 GB``, ``6GiB``, ``500M`` or a number. Raises `ValueError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2].casefold() not in _UNITS or not (size := int(float(match[1]) * _UNITS[match[2].casefold()])):
        raise ValueError(f"{text!r} is no size; write bytes with a unit, such as '8 GB' or '6GiB'")
    return size


def available_memory() -> int:
    """Return the bytes that are free on this machine, or for this container where that is less."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit = " ".join(_lines("/sys/fs/cgroup/memory.max"))
    used = " ".join(_lines("/sys/fs/cgroup/memory.current"))
    return min(free, max(0, int(limit) - int(used))) if limit.isdigit() and used.isdigit() else free


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def memory_limit(setting: str) -> int:
    """Return the bytes that models may take together: what *setting* says, or with "auto" a share of what is free."""
    return int(available_memory() * SHARE) if setting == "auto" else read_size(setting)


def memory_needed(model: ModelFile, *, slots: int, context: int) -> int:
    """Return about how many bytes *model* takes once it is loaded."""
    seeing = model.projector.stat().st_size * _SEEING if model.projector is not None else 0
    return int(model.size + model.cached * slots * context + _PROCESS + model.vocabulary * _PER_TOKEN + seeing)


def fitting_context(model: ModelFile, *, slots: int, memory: int) -> int:
    """Return the tokens a slot that *model* is given in so much *memory*: as many as it was trained with, as long as that
    leaves half of the memory to other models; the usual 4,096 where they fit at all, and fewer where they do not.

    Raises `ConfigError` where not even a small context fits.
    """
    trained = model.context or USUAL_CONTEXT
    bare = memory_needed(model, slots=slots, context=0)
    fits = (memory - bare) // (model.cached * slots) if model.cached else trained
    shared = (memory // 2 - bare) // (model.cached * slots) if model.cached else trained
    context = min(trained, fits, max(shared, USUAL_CONTEXT))
    if context < min(trained, LEAST_CONTEXT):
        least = memory_needed(model, slots=slots, context=min(trained, LEAST_CONTEXT))
        raise ConfigError(
            f"{model.path.name} needs at least {least / 1e6:,.0f} MB of memory with {slots} slots, "
            f"and may take {memory / 1e6:,.0f} MB",
            advice="allow more with memory in [engine], use fewer slots, or choose a smaller model",
        )
    return int(context if context < _STEP else context // _STEP * _STEP)
