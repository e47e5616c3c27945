"""Random examples take the time that they take: on a busy machine a slow one is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")
