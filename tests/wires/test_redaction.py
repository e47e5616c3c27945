"""What must not be shown is found in whatever form a server repeats it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.errors import StatusError
from autonomousai.wires.foreign_errors import redact_error
from autonomousai.wires.redaction import HiddenSecrets, redact, secrets_of

KEY = "op-4f9c/2b7e+1d8a=Z"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "as the header": lambda key: f"Bearer {key}",
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in base64, for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "as a password": lambda key: base64.b64encode(f"u:{key}".encode()).decode(),
    "behind two bytes": lambda key: base64.b64encode(f"ab{key}".encode()).decode(),
    "behind a scheme": lambda key: base64.b64encode(f"Bearer {key}!".encode()).decode(),
    "in a URL": lambda key: quote(key, safe=""),
    "in hex": lambda key: key.encode().hex(),
    "its beginning": lambda key: key[:12],
    "its end": lambda key: key[-12:],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_secret_in_any_form(form: Callable[[str], str]) -> None:
    """Encoded, cut or in another case: nothing from which it could be told stays."""
    repeated = form(KEY)

    shown = redact(f"the key ({repeated}) is wrong", [KEY])

    assert repeated not in shown
    assert "***" in shown
    assert shown.startswith("the key (")
    assert shown.endswith("is wrong")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60), st.text(), st.text())
def test_no_long_part_of_any_secret_stays(key: str, before: str, after: str) -> None:
    """Whatever stands around it."""
    shown = redact(before + key + after, [key])

    assert key not in shown or key in "*" * len(key)


def test_other_words_stay() -> None:
    """Short secrets are words of the text, and what is no part of a secret is kept to the letter."""
    assert "the model is not there" == redact("the model is not there", ["model", "another-secret-key"])


def test_all_that_an_error_says() -> None:
    """Its message, and every member that a server names."""
    error = StatusError(f"no: {KEY}", status=400, type=KEY, code=KEY, param=KEY, body=KEY, request_id=KEY)

    redact_error(error, [KEY])

    said = (error.message, error.problem, error.type, error.code, error.param, error.body, error.request_id)
    assert KEY not in " ".join(map(str, (error, *said)))


def test_which_headers_are_secrets() -> None:
    """Those that say who asks, without their scheme."""
    headers = {"Authorization": "Bearer k1", "x-api-key": "k2", "Cookie": "a=b", "Accept": "text/plain"}

    assert ["k1", "k2", "a=b"] == list(secrets_of(headers))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_hidden_secret_is_nobodys_to_name(form: Callable[[str], str]) -> None:
    """It is hidden from texts of whoever, as long as it is kept; of its parts, those of sixteen characters."""
    repeated = form(f"{KEY}{KEY}")
    hidden = HiddenSecrets([KEY, f"{KEY}{KEY}", "another-key-of-the-same-server", "short"])

    shown = redact(f"the key ({repeated}) is wrong", ())
    assert repeated not in shown or len(repeated) < 16
    assert "the key (" in shown
    del hidden
    assert redact("KEY-4f9c2b7e1d8a-KEY", ()) == "KEY-4f9c2b7e1d8a-KEY"


def test_words_of_a_hidden_secret_stay() -> None:
    """Half of one may be a word that an error needs."""
    hidden = HiddenSecrets(["my-upstream-key", "the-upstream-of-a-long-key"])

    assert "the upstream answered 500; of a long wait" == redact("the upstream answered 500; of a long wait")
    assert "***" == redact("my-upstream-key")
    assert hidden.parts


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40), max_size=8), st.text())
def test_many_hidden_secrets_are_hidden_as_one(keys: list[str], around: str) -> None:
    """Whatever stands around them."""
    hidden = HiddenSecrets(keys)

    for key in keys:
        assert key not in redact(around + key + around) or key in "*" * len(key)
    assert len(hidden.parts) <= 9
