"""One provider made of many: routes, retries, failover, breakers. It knows providers by their contract alone."""

from .gateway import Gateway
from .upstream import Upstream

__all__ = ["Gateway", "Upstream"]
