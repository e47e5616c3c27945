"""Installs the peers, each into an environment of its own under .venv-peers, and says which version each is.

    python bench/peers.py           install what is missing, and print the versions

The routers and SDKs come from PyPI, Portkey's gateway from npm, without the scripts that packages run when they are installed.
Bifrost's package there only downloads a program from elsewhere, and is left out; LiteLLM 1.107.0 was compromised, and the
releases here are pinned. nginx is Debian's (`apt-get install nginx-light`), and is used where it is found.
A peer that cannot be installed is reported, and the others are measured without it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from servers import ENVIRONMENTS

#: environment -> what npm installs there.
NODE_PACKAGES = {"portkey": "@portkey-ai/gateway@1.15.2"}

#: environment -> what pip installs there. LiteLLM's proxy is the release that the benchmarks were tried with: later ones want
#: what it does not get along with, or what an index may lack (litellm-proxy). Its client has an environment of its own.
PACKAGES = {
    "openai": "openai",
    "any-llm": "any-llm-sdk",
    "litellm": "litellm[proxy]==1.108.7 granian",
    "litellm-client": "litellm==1.110.2",
    "vllm-router": "vllm-router",
    "sglang-router": "sglang-router",
    "profile": "py-spy",
}


def install(name: str) -> str | None:
    """What went wrong, if anything did. An environment that is there is left as it is."""
    folder = ENVIRONMENTS / name
    ready = folder / ".ready"
    if ready.exists():
        return None
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*pip, "install", "--quiet", *PACKAGES[name].split()], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    ready.touch()
    return None


def install_from_npm(name: str) -> str | None:
    """What went wrong, if anything did. A package that is there is left as it is."""
    if version(name):
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    options = ["--no-fund", "--no-audit", "--ignore-scripts", "--prefix", ENVIRONMENTS / name]
    done = subprocess.run([npm, "install", *options, NODE_PACKAGES[name]], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


def version(name: str) -> str | None:
    """Of an installed peer."""
    if name in NODE_PACKAGES:
        package = ENVIRONMENTS / name / "node_modules" / NODE_PACKAGES[name].rpartition("@")[0] / "package.json"
        return str(json.loads(package.read_text(encoding="utf-8"))["version"]) if package.exists() else None
    if name == "nginx":
        program = shutil.which("nginx")
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr if program else ""
        return said.rpartition("/")[2].split()[0] if said else None
    package = re.sub(r"(\[|==| ).*", "", PACKAGES[name])
    python = ENVIRONMENTS / name / "bin/python"
    command = [python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if Path(python).exists() else None
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def versions() -> dict[str, str]:
    """All that are there."""
    return {name: found for name in [*PACKAGES, *NODE_PACKAGES, "nginx"] if (found := version(name))}


def main() -> int:
    for name in PACKAGES:
        if wrong := install(name):
            print(f"{name} cannot be installed: {wrong}")
    for name in NODE_PACKAGES:
        if wrong := install_from_npm(name):
            print(f"{name} cannot be installed: {wrong}")
    there = versions()
    print("peers: " + ", ".join(f"{name} {number}" for name, number in there.items()))
    if "nginx" not in there:
        print("nginx is not installed: on Debian, apt-get install nginx-light")
    return 0


if __name__ == "__main__":
    sys.exit(main())
