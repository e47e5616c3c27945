"""Plain values -> TOML, with tomli-w where it is installed. Python reads TOML, but writes none."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError


def write_toml(document: dict[str, Any]) -> str:
    """Return *document* as TOML. Raises `ConfigError` that names the extra where the writer is not installed."""
    try:
        import tomli_w  # noqa: PLC0415  an optional extra
    except ImportError:
        raise ConfigError("what writes a config is not installed; run: pip install 'autonomousai[cli]'") from None
    return tomli_w.dumps(document)
