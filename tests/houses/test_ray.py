"""The server on Ray Serve: two servers, two engines, Redis; one of each is killed in mid-answer, and no answer is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

from autonomousai.engine.weights import weights_path
from autonomousai.models import DEFAULT_WEIGHTS
from tests.compat.clients_env import ROOT, python_of
from tests.houses.houses_env import HOUSES
from tests.support.redis import redis_server

PATIENCE = 600


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_no_answer_is_lost_with_a_replica(tmp_path: Path) -> None:
    """The text is the same as without a kill, and how long each took is printed."""
    config = tmp_path / "autonomousai.toml"
    with redis_server() as url:
        config.write_text(f'[server]\nstate = "{url}"\n[upstreams.embedded]\nkind = "llamacpp"\nslots = 2\ncontext = 1024\n')
        done = subprocess.run(
            [python_of("ray", HOUSES), Path(__file__).with_name("on_ray.py"), config, str(_free_port())],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "src"),
                "AUTONOMOUSAI_CACHE": str(weights_path(DEFAULT_WEIGHTS).parents[1]),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert 0 == done.returncode, done.stderr[-3000:]
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    print(
        {name: {key: value for key, value in each.items() if key != "text"} for name, each in told.items() if name != "started"}
    )

    assert told["whole"]["text"]
    assert told["engine"]["killed"]
    assert told["server"]["killed"]
    for name in ("engine", "server", "after"):
        assert told["whole"]["text"] == told[name]["text"], name
