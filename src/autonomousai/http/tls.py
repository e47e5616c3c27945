"""TLS: whom a client trusts, and what to check where a handshake failed. Imports `ssl`, which comes with the first request."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

#: The variables by which OpenSSL finds the authorities that it trusts, instead of the system's.
CERT_FILE = "SSL_CERT_FILE"
CERT_DIR = "SSL_CERT_DIR"

#: Those by which other programs find them, which say nothing here.
_OF_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_CONTEXTS: dict[tuple[str | None, str | None], ssl.SSLContext] = {}


def tls_context() -> ssl.SSLContext:
    """Return what TLS is spoken with: it trusts the system's authorities, or those that the environment names now."""
    named = os.environ.get(CERT_FILE), os.environ.get(CERT_DIR)
    if named not in _CONTEXTS:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        _CONTEXTS[named] = context
    return _CONTEXTS[named]


def tls_advice(said: str) -> str:
    """Return what to check of an address that TLS failed with. OpenSSL calls an answer in plain text a wrong version."""
    if "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER_FAILURE" in said:
        return "does http:// belong there?"
    if "CERTIFICATE_VERIFY_FAILED" not in said:
        return "check its certificate"
    for name, exists in ((CERT_FILE, Path.is_file), (CERT_DIR, Path.is_dir)):
        if (value := os.environ.get(name)) and not exists(Path(value)):
            return f"check its certificate; {name} names {value!r}, which is not there"
    for name in _OF_OTHERS:
        if (value := os.environ.get(name)) and not os.environ.get(CERT_FILE):
            return f"check its certificate; {name} is not read here: set {CERT_FILE} to {value!r}"
    if "issuer" in said or "self-signed" in said or "self signed" in said:
        return f"check its certificate; authorities beside the system's are named by {CERT_FILE} or {CERT_DIR}"
    return "check its certificate"
