"""How the command line reports a failed request: what happened, and what can be done about it here. The errors' own advice is
for Python code.
"""

from __future__ import annotations

from ..errors import USE_PARTIAL, HTTPError, ModelNotFoundError, ProviderError, StatusError, TimeoutError  # noqa: A004
from ..models import MODEL_ALIASES
from ..suggestions import did_you_mean
from .terminal import Terminal


def in_words(error: ProviderError) -> str:
    """The error in one line."""
    if isinstance(error, ModelNotFoundError):
        aliases = (alias for alias, model in MODEL_ALIASES.items() if model in error.known)
        return f"{error}{did_you_mean(error.model, (*error.known, *aliases))}"
    if not isinstance(error, HTTPError):
        return str(error)
    problem, advice = error.problem, error.advice
    if isinstance(error, TimeoutError):
        problem = problem.removesuffix(f" (timeout {error.clock!r})")  # no option here winds one up
        advice = "the server is slow, or hangs; try again"
    elif advice == USE_PARTIAL:
        advice = "try again"
    return f"{problem}; {advice}" if advice else problem


def tell(terminal: Terminal, error: ProviderError, *, asks_server: bool = False, key_env: str) -> None:
    """Say it on standard error. *asks_server*: a server was named, so that the models are not ours to know, and the command has
    ``--wire``. *key_env*: the environment variable that the key is read from."""
    terminal.error(in_words(error))
    if isinstance(error, StatusError) and error.status == 401:
        terminal.note(f"the key is given with {key_env}, or with --api-key")
    elif isinstance(error, ModelNotFoundError) and asks_server:
        terminal.note("for any other model that a server has, name its base URL that ends in /v1, or add --wire openai")
