"""The published description is exactly what is served: Schemathesis makes thousands of requests from it, valid and invalid, and
finds no answer that it does not foresee, nothing accepted that it forbids, and nothing refused that it allows."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from autonomousai.config import Config, KeyConfig, LedgerConfig, Secret, ServerConfig
from autonomousai.server import create_app
from autonomousai.server.openapi.document import make_document
from autonomousai.testing import ScriptedProvider
from tests.compat.clients_env import CLIENTS
from tests.support.sockets import listening

HERE = Path(__file__).parent / "schemathesis"
PROGRAM = CLIENTS / "python" / "bin" / "schemathesis"
KEY = "a-key-of-this-test"

#: Where it may meet 404 alone, as it makes up ids: kept responses are let go by what it sends to them, and names of models are
#: not in the description. What they answer otherwise is tested in tests/server (test_kept_responses.py, test_models.py).
UNMET = {"/v1/responses/{id}", "/v1/responses/{id}/cancel", "/v1/responses/{id}/input_items", "/v1/models/{id}"}

#: What an admin key opens alone, which opens nothing else.
ADMIN = "/admin/"
ADMIN_KEY = "an-admin-key-of-this-test"


#: Of what is open to all, each part is a test of its own: so many cases each, and the responses' links within one.
CHAT = "^/(api/|v1/chat/|v1/completions)"
KEPT = "^/v1/(responses|streams)"
OTHERS = f"^(?!/admin/|{CHAT[1:]}|{KEPT[1:]})"


@pytest.mark.parametrize(
    ("keys", "vision", "paths", "bounds", "key"),
    [
        ((), True, CHAT, ("--max-examples", "6"), ""),
        ((), True, KEPT, ("--max-examples", "6"), ""),
        ((), True, OTHERS, ("--max-examples", "6"), ""),
        # What a key changes shows in few requests.
        ((Secret(KEY),), False, "^/", ("--max-examples", "5", "--phases", "examples,fuzzing"), KEY),
        ((), False, f"^{ADMIN}", ("--max-examples", "10"), ADMIN_KEY),
    ],
    ids=["open, chat", "open, kept", "open, others", "with a key", "as an admin"],
)
async def test_all_checks_pass_on_the_published_document(
    keys: tuple[Secret, ...], vision: bool, paths: str, bounds: tuple[str, ...], key: str, tmp_path: Path
) -> None:
    """Statuses, content types, headers, schemas of answers and events, refusals, keys: every check that there is."""
    assert PROGRAM.exists(), f"{PROGRAM} is missing: make it with `make test` or `python tests/compat/clients_env.py`"
    is_admin = key == ADMIN_KEY
    ledger = LedgerConfig(url=str(tmp_path / "ledger.db"))
    app = create_app(
        Config(
            server=ServerConfig(api_keys=keys, admin_keys=(Secret(ADMIN_KEY),) if is_admin else ()),
            ledger=ledger,
            keys={"office": KeyConfig(key=Secret("sk-office"))} if is_admin else {},
        ),
        provider=ScriptedProvider(vision=vision, tokens=7),
    )

    async with listening(app) as serving:
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{serving.url}/openapi.json", "--checks", "all", "--continue-on-failure"),
            *("--seed", "20261125", "--no-color", "--suppress-health-check", "all"),
            *("--include-path-regex", paths, *bounds),
            *(("--header", f"Authorization: Bearer {key}") if key else ()),
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": str(HERE),
                "SCHEMATHESIS_HOOKS": "hooks",
                "SERVER": serving.url,
                "KEY": key,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()

    assert 0 == process.returncode, said
    tested = re.search(r"Tested: (\d+)", said)
    assert tested, said
    document = make_document(vision=vision, asks_key=False)["paths"]
    items = [item for path, item in document.items() if re.search(paths, path)]
    assert sum(method != "parameters" for item in items for method in item) == int(tested[1])
    unmet = said.partition("Missing test data")[2].partition("Schema validation mismatch")[0].partition("SUMMARY")[0]
    assert {*re.findall(r"- [A-Z]+ (/\S+)", unmet)} <= UNMET, said
