"""Everything in one run: decoder, clients, server, its other loads and wires, starts, engine. Exits 1 when a guard is missed.

    python bench/all.py [--quick] [--only decoder,client,server,variants,wires,startup,engine] [--peers] [--write]

`make bench` is this, `make bench-peers` is `--peers --write`: beside the peers that are installed, and the figures go to
docs/performance/figures.json, whose table and plot are drawn by `bench/report.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import BENCH, ROOT, machine
from peers import versions

#: script -> whether it knows --peers.
SCRIPTS = {
    "decoder": False,
    "client": True,
    "server": True,
    "variants": True,
    "wires": True,
    "startup": True,
    "engine": False,
}

FIGURES = ROOT / "docs/performance/figures.json"


def joined(kept: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """The *kept* figures with new ones over them; each says where and when it was measured."""
    parts = {name: {"machine": kept["machine"], **kept[name]} for name in SCRIPTS if name in kept}
    return {**kept, **parts, **results, "versions": {**kept["versions"], **results["versions"]}}


def main() -> int:
    parser = argparse.ArgumentParser(description="All benchmarks.")
    parser.add_argument("--quick", action="store_true", help="three short rounds, bounds twice as wide")
    parser.add_argument("--peers", action="store_true", help="beside the peers that bench/peers.py has installed")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {FIGURES.relative_to(ROOT)}, and draw them")
    parser.add_argument("--only", default=",".join(SCRIPTS), help="a comma between them; all by default")
    options = parser.parse_args()
    began = time.monotonic()
    results: dict[str, Any] = {"machine": machine(), "quick": options.quick, "versions": versions() if options.peers else {}}
    failed = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, knows_peers in SCRIPTS.items():
            if name not in options.only.split(","):
                continue
            raw = Path(folder) / f"{name}.json"
            command = [sys.executable, BENCH / f"{name}.py", "--json", raw]
            command += ["--quick"] if options.quick else []
            command += ["--peers"] if options.peers and knows_peers else []
            print(f"\n== {name}", flush=True)
            started = time.monotonic()
            if subprocess.run(command, check=False).returncode:
                failed.append(name)
            print(f"{time.monotonic() - started:.0f} s")
            if raw.exists():
                results[name] = {**json.loads(raw.read_text(encoding="utf-8")), "machine": results["machine"]}
    print(f"\n{time.monotonic() - began:.0f} s; " + (f"missed: {', '.join(failed)}" if failed else "all guards kept"))
    if options.write:
        FIGURES.parent.mkdir(exist_ok=True)
        if set(options.only.split(",")) != set(SCRIPTS) and FIGURES.exists():  # the others' figures stand as they are
            results = joined(json.loads(FIGURES.read_text(encoding="utf-8")), results)
        FIGURES.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        subprocess.run([sys.executable, BENCH / "report.py"], check=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
