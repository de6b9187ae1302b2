"""Runs in a repository: settings, summary and most of the table of each, in one archive."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

REPORT = Path(__file__).parents[1] / "report.py"
FILES = ("config.yaml", "metrics.csv", "summary.json", "diverged")
LAYER = re.compile(r"plasticity/.+/((conv|layer)_\d+|head)")
KEPT_OF_LAYERS = "dormant_fraction@0.1"


def pack(runs: Iterable[Path], archive: Path) -> None:
    """Writes runs to an archive; the same runs give the same bytes.

    Args:
        runs: Their directories.
        archive: A ``.tar.xz``; it is replaced when the new one is complete.
    """
    aside = archive.with_name(archive.name + ".tmp")
    with tarfile.open(aside, "w:xz") as tar:
        for path in sorted(run / name for run in runs for name in FILES if (run / name).exists()):
            content = path.read_text()
            data = (thinned(content) if path.suffix == ".csv" else content).encode()
            member = tarfile.TarInfo(str(path.relative_to(path.parents[1])))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    aside.replace(archive)


def unpack(archive: Path, folder: Path) -> None:
    """Takes those runs out of an archive that are not in the folder."""
    there = {path.name for path in folder.glob("*")}
    with tarfile.open(archive) as tar:
        new = [member for member in tar if Path(member.name).parts[0] not in there]
        tar.extractall(folder, new, filter="data")


def packed(archive: Path) -> set[str]:
    """Returns the names of the runs in an archive; none if there is no such file."""
    if not archive.exists():
        return set()
    with tarfile.open(archive) as tar:
        return {Path(name).parts[0] for name in tar.getnames()}


def write_page(names: Iterable[str], archive: Path, page: Path) -> None:
    """Compares some runs of an archive, from where it is unpacked: the page names them as it does.

    Args:
        names: Of runs.
        archive: Where they are.
        page: What is written.
    """
    with tempfile.TemporaryDirectory() as name:
        unpack(archive, Path(name))
        command = [sys.executable, str(REPORT), *names, "--page-only", "--out", "page"]
        subprocess.run(command, cwd=name, check=True, stdout=subprocess.DEVNULL)
        shutil.copyfile(Path(name, "page", "index.html"), page)


def thinned(table: str) -> str:
    """Returns ``metrics.csv`` with six digits, and of single layers only their dormant neurons."""
    head, *rows = (line.split(",") for line in table.splitlines())
    kept = [
        [*row[:5], f"{float(row[5]):.6g}"]
        for row in rows
        if not LAYER.fullmatch(row[4]) or KEPT_OF_LAYERS in row[4]
    ]
    return "".join(",".join(row) + "\n" for row in (head, *kept))
