"""The systemd unit, read strictly, and judged by systemd itself where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from autonomousai.config import parse_config
from tests.deploy.options import check_command

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/autonomousai.service"
GUIDE = ROOT / "docs/guides/systemd.md"

#: What the unit uses (systemd.unit, systemd.service, systemd.exec, systemd.kill), for a typing mistake is no error to systemd.
KNOWN = {
    "Unit": {"Description", "After", "Wants"},
    "Service": {
        "Type", "ExecStart", "ExecReload", "Environment", "EnvironmentFile", "Restart", "RestartSec", "TimeoutStartSec",
        "TimeoutStopSec", "KillMode", "WatchdogSec", "LimitNOFILE", "DynamicUser", "CacheDirectory",
        "StateDirectory", "StateDirectoryMode", "UMask", "NoNewPrivileges", "CapabilityBoundingSet",
        "AmbientCapabilities", "PrivateDevices", "PrivateTmp",
        "PrivateUsers", "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "RemoveIPC",
        "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
        "SystemCallArchitectures", "SystemCallFilter",
    },
    "Install": {"WantedBy"},
}  # fmt: skip


def read(text: str) -> dict[str, dict[str, list[str]]]:
    """The sections, their names, and the values of each, of which some may have several."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = found[line.strip("[]")] = defaultdict(list)
            continue
        name, equals, value = line.partition("=")
        assert equals, f"{line!r} is no setting"
        assert name in KNOWN[list(found)[-1]], f"{name} is no setting"
        section[name].append(value)
    return found


SERVICE = read(UNIT.read_text(encoding="utf-8"))["Service"]


def config_of_the_guide() -> str:
    return GUIDE.read_text(encoding="utf-8").partition('```toml title="/etc/autonomousai.toml"\n')[2].partition("```")[0]


def test_each_setting_stands_once() -> None:
    """But the filter of system calls, which is made of two."""
    assert ["SystemCallFilter"] == [name for name, values in SERVICE.items() if len(values) > 1]


def test_it_starts_what_there_is_and_waits_for_it() -> None:
    """Its command has these options, its variable is the program's, and running answers may end before systemd kills."""
    (command,), (variables,), (patience,) = SERVICE["ExecStart"], SERVICE["Environment"], SERVICE["TimeoutStopSec"]
    config = tomllib.loads(config_of_the_guide())

    check_command(command.split())
    assert {"AUTONOMOUSAI_CACHE": "/var/cache/autonomousai", "XDG_DATA_HOME": "/var/lib/autonomousai"} == dict(
        each.split("=") for each in variables.split()
    ), "what it writes is where it may write"
    assert (["autonomousai"], ["autonomousai"]) == (SERVICE["CacheDirectory"], SERVICE["StateDirectory"])
    assert int(patience) >= config["server"]["drain_s"] + 10
    assert ["mixed"] == SERVICE["KillMode"], "the parent ends its workers"
    assert ["notify"] == SERVICE["Type"]
    assert ["/bin/kill -HUP $MAINPID"] == SERVICE["ExecReload"]


def test_the_guide_has_this_units_files() -> None:
    """Its config can be served, keeps what outlives the process where the unit may write, and is the file of the command."""
    text = config_of_the_guide()
    server = parse_config(text, {"AUTONOMOUSAI_API_KEY": "a-secret"}).server
    (directory,), (command,), (variables,) = SERVICE["StateDirectory"], SERVICE["ExecStart"], SERVICE["EnvironmentFile"]
    page = GUIDE.read_text(encoding="utf-8")

    assert server.state.startswith(f"sqlite:/var/lib/{directory}/")
    assert f'title="{command.split()[3]}"' in page
    assert f"`{variables}`" in page
    assert "deploy/systemd/autonomousai.service" in page


@pytest.mark.parametrize("wrong", ["[Service]\nTimeoutStopSeconds=3", "[Service]\nExecStart", "[Unit]\nExecStart=x"])
def test_a_wrong_setting_is_found(wrong: str) -> None:
    """The reader can condemn."""
    with pytest.raises(AssertionError):
        read(wrong)


def test_systemd_takes_it_where_there_is_one(tmp_path: Path) -> None:
    """Without a warning, and with little exposed: 1.4 of 10, by its own count. Elsewhere it has been read above."""
    program = shutil.which("systemd-analyze")
    if program is None:
        assert SERVICE["NoNewPrivileges"] == SERVICE["DynamicUser"] == ["yes"]
        return
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"/opt/\S+/autonomousai", "/bin/true", UNIT.read_text(encoding="utf-8")), encoding="utf-8")
    verified = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False)
    judged = subprocess.run(
        [program, "security", "--offline=true", "--threshold=20", UNIT], capture_output=True, text=True, check=False
    )

    assert (0, "") == (verified.returncode, verified.stderr)
    assert 0 == judged.returncode, judged.stdout[-200:]
