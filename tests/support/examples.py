"""How many random examples a test draws: as many as it asks for, and few of them in `make quick`."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int) -> settings:
    """Return the settings of a test that draws *number* examples; a quick run has its own bound, which is that of all tests."""
    quick = settings.get_current_profile_name() == "quick"
    return settings(max_examples=min(number, settings().max_examples) if quick else number)
