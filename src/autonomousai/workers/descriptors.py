"""How many descriptors this process may have open. Where they run short is found out before the system says so."""

from __future__ import annotations

from typing import Final

#: Descriptors that are kept for connections to upstreams, for files and for children, of a small limit and of a large one:
#: each caller who is answered may need one more at an upstream.
_RESERVED_SHARE: Final = 2
_RESERVED: Final = 1_024

#: A limit that stands for none: some systems take no larger one.
_MOST: Final = 1 << 20


def raise_descriptor_limit() -> int | None:
    """Raise the soft limit of descriptors to the hard one (getrlimit(2), RLIMIT_NOFILE). Returns how many may be in use when a
    connection is taken, with a reserve for what its request needs; None where the system has no such limit."""
    try:
        import resource  # noqa: PLC0415  it does not exist on every system
    except ModuleNotFoundError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):  # some systems have a lower one that they do not tell
            pass
    if soft == resource.RLIM_INFINITY:
        return None
    return soft - min(soft // _RESERVED_SHARE, _RESERVED)
