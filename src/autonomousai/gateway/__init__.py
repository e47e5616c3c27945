"""One provider made of many: routes, retries, failover, breakers. It knows providers by their contract alone."""

from .gateway import Gateway, Upstream

__all__ = ["Gateway", "Upstream"]
