"""The folder of a run: whose it is, what is in it, and that one process works in it at a time."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

import yaml

from configs import RunConfig, differences, parse_as

LOCK = ".lock"


class BusyError(ValueError):
    """Another process works in the folder."""


class RunDir(NamedTuple):
    """A folder that this process may write to.

    Attributes:
        path: Where it is.
        exists: Whether it holds a run with these settings, to go on with.
        lock: Held until it is closed, or the process ends.
    """

    path: Path
    exists: bool
    lock: IO[str]


def open_run(config: RunConfig) -> RunDir:
    """Makes or opens the run directory, and locks it.

    A new one gets the resolved settings as ``config.yaml``.  One that holds a run must have the
    same settings, but that ``config.extends`` may be larger, and ``compile`` another.  Files of
    another program with names of ours are not written over.

    Raises:
        ValueError: If the directory cannot be written, is in use, has links in it, or holds a run
            with other settings.
    """
    run_dir = Path(config.run_dir or _default(config))
    settings = config.used()
    del settings["run_dir"]  # it may be moved
    file = run_dir / "config.yaml"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(run_dir)
        exists = file.exists()
        if exists:
            _refuse_links(run_dir)
            _compare(run_dir, config.extends, settings_of(run_dir, type(config)), settings)
        else:
            _refuse_others(run_dir)
        write_text(file, yaml.safe_dump(_plain(settings), sort_keys=False))
    except OSError as error:
        raise ValueError(f"the run directory {run_dir} cannot be written: {error}") from error
    return RunDir(run_dir, exists, lock)


def settings_of(run_dir: Path, cls: type[RunConfig]) -> dict[str, Any]:
    """Reads the settings of a run; one that did not exist then was what is its default now.

    Raises:
        ValueError: If they are none of this kind of run.
    """
    try:
        settings = parse_as(cls, ["--config", str(run_dir / "config.yaml")]).used()
    except ValueError as error:
        raise ValueError(
            f"{run_dir} holds a run of other settings: {error}; give another --run-dir"
        ) from error
    del settings["run_dir"]
    return settings


def write_json(file: Path, content: object) -> None:
    """Writes a JSON file aside and then in place, so that it is never half there."""
    write_text(file, json.dumps(content, indent=2) + "\n")


def write_text(file: Path, text: str) -> None:
    """Writes a file aside and then in place."""
    aside = file.with_name(file.name + ".tmp")
    try:
        with aside.open("w") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def lock_folder(run_dir: Path) -> IO[str]:
    """Takes a lock that the system takes back when the process ends, however it ends.

    Raises:
        BusyError: If another process has it.
    """
    lock = os.fdopen(os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+")
    try:
        # Unlike flock, this one is not inherited by processes in which environments run.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = lock.read(20).strip()
        lock.close()
        by = f" (process {owner})" if owner.isdecimal() else ""
        raise BusyError(f"another process{by} works in the run directory {run_dir}") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _refuse_links(run_dir: Path) -> None:
    """A run directory of a stranger might lead anywhere."""
    for path in run_dir.rglob("*"):
        if path.is_symlink():
            raise ValueError(f"{path} is a link: a run directory must not have any")


def _refuse_others(run_dir: Path) -> None:
    """Another program may write files of the same names, and ``config.yaml`` may be lost."""
    for pattern in ("metrics.csv", "events.out.tfevents*", "summary.json", "checkpoint"):
        for path in run_dir.glob(pattern):
            raise ValueError(
                f"{path} is there already, without a config.yaml to tell which run it is of: give "
                "another --run-dir"
            )


def _compare(run_dir: Path, extends: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    may_differ = {name: old.get(name) for name in (extends, "compile")}
    different = differences(old, new | may_differ)
    if different:
        raise ValueError(
            f"{run_dir} holds a run with another configuration ({'; '.join(different)}): "
            "give another --run-dir"
        )
    if not isinstance(old.get(extends), int) or old[extends] > new[extends]:
        raise ValueError(
            f"`{extends}` should be at least the {old.get(extends)} of the run in {run_dir}. "
            f"Received {new[extends]}"
        )


def _default(config: RunConfig) -> str:
    return f"runs/{config.title}-{time.strftime('%Y%m%d-%H%M%S')}"


def _plain(value: object) -> object:
    """Tuples to lists, which YAML knows without tags."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
