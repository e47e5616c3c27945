"""The container file: read line by line, and built where a builder and its base image are at hand."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from autonomousai.config import load_config
from tests.deploy.options import check_command
from tests.support.program import environment

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/Containerfile"

#: What a line may begin with (the reference of Dockerfiles), of what this file uses.
KNOWN = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


class Line(NamedTuple):
    """One instruction, with its options."""

    name: str
    options: dict[str, str]
    rest: str


def read(text: str) -> list[list[Line]]:
    """The instructions of each stage. A line that ends in a backslash continues on the next."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.split("\n") if not line.startswith("#")))
    stages: list[list[Line]] = []
    for line in filter(None, joined.split("\n")):
        name, _, rest = line.partition(" ")
        assert name in KNOWN, f"{name} is no instruction"
        options = {}
        while (found := re.match(r"--([a-z-]+)=(\S+)\s+", rest)) is not None:
            options[found[1]] = found[2]
            rest = rest[found.end() :]
        if name == "FROM":
            stages.append([])
        stages[-1].append(Line(name, options, rest.strip()))
    return stages


BUILD, FINAL = read(FILE.read_text(encoding="utf-8"))


def lines(stage: list[Line], name: str) -> list[Line]:
    return [line for line in stage if line.name == name]


def one(stage: list[Line], name: str) -> Line:
    (found,) = lines(stage, name)
    return found


def test_both_stages_have_one_base_with_a_version() -> None:
    """No tag that moves to another Python, and the environment is copied to the Python that made it."""
    base = one(FINAL, "FROM").rest

    assert f"{base} AS build" == one(BUILD, "FROM").rest
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-[a-z]+", base)
    minor = int(base.split("3.")[1].split("-")[0])
    assert (3, minor) >= (3, 11)
    assert f"Programming Language :: Python :: 3.{minor}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    """In the tree, and not left out by .dockerignore; the package builds of nothing else."""
    copied = [word for line in lines(BUILD, "COPY") for word in line.rest.split()[:-1]]
    copied += [word for line in lines(FINAL, "COPY") if not line.options for word in line.rest.split()[:-1]]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert [] == [name for name in copied if not (ROOT / name).exists()]
    assert sorted(copied) == sorted(kept)
    assert {project["readme"], *project["license-files"], "pyproject.toml", "src"} <= set(copied)


def test_the_extras_are_there() -> None:
    """Those of the default, by which the package is installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    name, _, value = one(BUILD, "ARG").rest.partition("=")

    assert set(value.split(",")) <= set(extras)
    assert f".[${{{name}}}]" in lines(BUILD, "RUN")[0].rest


def test_what_is_started_is_there() -> None:
    """The program of the environment, its options, and a config that can be served at the port that is exposed."""
    entry, words = json.loads(one(FINAL, "ENTRYPOINT").rest), json.loads(one(FINAL, "CMD").rest)
    variables = dict(word.split("=", 1) for word in shlex.split(one(FINAL, "ENV").rest))
    (config,) = [line.rest.split() for line in lines(FINAL, "COPY") if not line.options]
    environments = [line.rest.split() for line in lines(FINAL, "COPY") if line.options == {"from": "build"}]
    loaded = load_config(ROOT / config[0], {"AUTONOMOUSAI_API_KEY": "a-secret"})

    check_command([*entry, *words])
    assert config[1] == words[words.index("--config") + 1]
    assert [["/opt/autonomousai", "/opt/autonomousai"]] == environments
    assert variables["PATH"].startswith("/opt/autonomousai/bin:")
    assert f"AUTONOMOUSAI_CACHE={variables['AUTONOMOUSAI_CACHE']}" == one(BUILD, "ENV").rest
    assert loaded.served()
    assert ("0.0.0.0", str(loaded.server.port)) == (loaded.server.host, one(FINAL, "EXPOSE").rest)


def test_it_runs_as_the_user_of_the_chart() -> None:
    """Who is not root, by number, so that an orchestrator can see it; made before it is used."""
    names = [line.name for line in FINAL]
    user = one(FINAL, "USER").rest
    chart = (ROOT / "deploy/helm/autonomousai/templates/deployment.yaml").read_text(encoding="utf-8")

    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert f"--uid {user.split(':')[0]} " in lines(FINAL, "RUN")[-1].rest
    assert names.index("RUN") < names.index("USER") < names.index("ENTRYPOINT")
    assert f"runAsUser: {user.split(':')[0]}\n" in chart


def test_no_layer_holds_a_secret() -> None:
    """Keys are given when it is started."""
    words = re.findall(r"(?i)\b\w*(?:key|token|password|secret)\w*", "\n".join(map(str, BUILD + FINAL)))

    assert [] == words


async def test_the_health_check_finds_what_is_healthy(tmp_path: Path) -> None:
    """Exit code 0 where the server is, 1 where none is."""
    from tests.support.sockets import listening  # noqa: PLC0415  beside what it is for

    check = one(FINAL, "HEALTHCHECK")
    program, option, code = json.loads(check.rest.removeprefix("CMD "))
    assert {"interval", "timeout", "start-period", "retries"} == set(check.options)
    assert ("python", "-c") == (program, option)

    from autonomousai.server import create_app  # noqa: PLC0415  beside what it is for
    from autonomousai.testing import ScriptedProvider  # noqa: PLC0415  beside what it is for

    async with listening(create_app(provider=ScriptedProvider())) as server:
        assert 0 == await exit_code(code.replace(":8000/", f":{server.port}/"), tmp_path)
    assert 1 == await exit_code(code.replace(":8000/", f":{server.port}/"), tmp_path)


async def exit_code(code: str, home: Path) -> int | None:
    import asyncio  # noqa: PLC0415  beside what it is for

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment(home), stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


@pytest.mark.parametrize("wrong", ["FORM python:3.13", "FROM python:3.13\nINSTALL x"])
def test_a_wrong_instruction_is_found(wrong: str) -> None:
    """The reader can condemn."""
    with pytest.raises(AssertionError):
        read(wrong)


def test_what_llama_cpp_loads_is_installed() -> None:
    """The slim image has no OpenMP, without which the engine does not start."""
    assert "install -y --no-install-recommends libgomp1 " in lines(FINAL, "RUN")[0].rest


#: How each builder makes an image and starts programs in it, without its own networks.
BUILD_OPTIONS = ("--format", "docker", "--isolation", "chroot", "--network", "host")


class Builder:
    """A program that builds images. Buildah starts programs in containers that it has made of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def works(self) -> bool:
        """Return whether it is there, has the base image, and can start a program in it."""
        base = one(FINAL, "FROM").rest
        if not shutil.which(self.name) or self._call("inspect", "--type", "image", base).returncode:
            return False
        return self.run(base, "true").returncode == 0

    def build(self, image: str) -> None:
        options = () if self.name == "docker" else BUILD_OPTIONS
        done = self._call("build", *options, "-f", str(FILE), "-t", image, str(ROOT))
        assert 0 == done.returncode, done.stderr[-3000:]

    def run(self, image: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Start *words* in a container of *image*, which is removed then."""
        if self.name != "buildah":
            return self._call("run", "--rm", "--entrypoint", words[0], image, *words[1:])
        made = self._call("from", image)
        if made.returncode:
            return made
        container = made.stdout.split()[-1]
        try:
            return self._call("run", "--isolation", "chroot", container, "--", *words)
        finally:
            self._call("rm", container)

    def remove(self, image: str) -> None:
        self._call("rmi", image)

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.name, *words], capture_output=True, text=True, check=False, timeout=600)


def test_it_builds_and_answers_where_a_builder_is_at_hand() -> None:
    """The program is in the image, and what the engine loads. Elsewhere the file has been read above."""
    found = next(filter(Builder.works, map(Builder, ("podman", "docker", "buildah"))), None)
    if found is None:
        assert len(BUILD) + len(FINAL) == 20
        return
    image = f"autonomousai-test-{os.getpid()}"
    try:
        found.build(image)
        shown = found.run(image, "autonomousai", "--version")
        loaded = found.run(image, "python", "-c", "import xllamacpp, os; print(os.getuid())")
    finally:
        found.remove(image)

    assert "autonomousai" in shown.stdout
    assert "10001\n" == loaded.stdout
