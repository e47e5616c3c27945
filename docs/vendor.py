"""Fetch the page's libraries, as `packages.json` beside them lists them: ``python docs/vendor.py``, or ``make vendor``.

Each comes from npm, by its own client, at one fixed version; what npm says of its integrity must be what is recorded, and so
must each file's checksum. Only for who changes the list: the files are in the repository, and in the package.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parents[1] / "src/autonomousai/server/page/vendor"


def fetch(package: dict[str, Any], folder: Path) -> Path:
    """The package's archive, checked."""
    wanted = f"{package['name']}@{package['version']}"
    done = subprocess.run(
        ["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", folder, wanted],
        check=True,
        capture_output=True,
        text=True,
    )
    (said,) = json.loads(done.stdout)
    if said["integrity"] != package["integrity"]:
        sys.exit(f"{wanted}: npm says {said['integrity']}, and {VENDOR.name}/packages.json {package['integrity']}")
    return folder / str(said["filename"])


def unpack(package: dict[str, Any], archive: Path) -> None:
    """Its files, each under its own name here."""
    with tarfile.open(archive) as tar:
        for target, file in package["files"].items():
            member = tar.extractfile(f"package/{file['from']}")
            assert member is not None, f"{file['from']} is no file"
            data = member.read()
            if (digest := hashlib.sha256(data).hexdigest()) != file["sha256"]:
                sys.exit(f"{package['name']}: {file['from']} has the checksum {digest}, not {file['sha256']}")
            path = VENDOR / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(path.relative_to(VENDOR))


def main() -> None:
    if shutil.which("npm") is None:
        sys.exit("npm is missing; on Debian: apt-get install npm")
    packages = json.loads((VENDOR / "packages.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for package in packages:
            unpack(package, fetch(package, Path(folder)))


if __name__ == "__main__":
    main()
