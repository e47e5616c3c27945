"""`autonomousai serve` with the embedded engine, as it is, but that it tells where its engine listens, and with which key.

    python bench/engine_server.py CONFIG PORT FILE

The same engine can so be asked through us and past us.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from autonomousai.config import load_config
from autonomousai.engine import provider as llamacpp
from autonomousai.workers.main import run

CONFIG, PORT, FILE = sys.argv[1:]


class Telling(llamacpp.Supervisor):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        told = {"socket": self.settings.socket, "api_key": self.settings.api_key, "name": self.settings.name}
        Path(FILE).write_text(json.dumps(told), encoding="utf-8")


llamacpp.Supervisor = Telling  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(run(load_config(Path(CONFIG), os.environ), port=int(PORT)))
