"""llama.cpp's own server, as it is by default but for what makes the comparison fair: the weights, slots, context for each, and
threads of our engine.

    python bench/llama_server.py WEIGHTS SOCKET SLOTS CONTEXT

Says ``listening`` when it answers, and ends with its stdin.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import xllamacpp

from autonomousai.engine import child

WEIGHTS, SOCKET, SLOTS, CONTEXT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def main() -> None:
    """Serve on a Unix socket, without a key."""
    params = xllamacpp.CommonParams()
    params.model.path = WEIGHTS
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = child._threads()
    params.verbosity = -1
    params.ui = False
    params.hostnames = [SOCKET]
    server = xllamacpp.Server(params)
    while not Path(SOCKET).exists():
        time.sleep(0.01)
    child._wait_until_loaded(SOCKET)
    print("listening", flush=True)
    sys.stdin.read()
    del server
    os._exit(0)


if __name__ == "__main__":
    main()
