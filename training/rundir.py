"""The folder of a run: made once, never written over."""

from __future__ import annotations

import json
import time
from pathlib import Path

import yaml

from configs import Config, differences, read_yaml


def prepare(config: Config) -> Path:
    """Makes the run directory and writes the resolved settings to ``config.yaml``.

    Raises:
        ValueError: If the directory cannot be written or already holds a run.
    """
    run_dir = Path(config.run_dir or _default(config))
    settings = config.used()
    del settings["run_dir"]  # it may be moved
    file = run_dir / "config.yaml"
    if file.exists():
        different = differences(read_yaml(file), settings)
        if different:
            raise ValueError(
                f"{run_dir} holds a run with another configuration ({'; '.join(different)}): "
                "give another --run-dir"
            )
        raise ValueError(f"{run_dir} already holds this run: give another --run-dir")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with file.open("x") as new:  # never over another process's
            new.write(yaml.safe_dump(_plain(settings), sort_keys=False))
    except OSError as error:
        raise ValueError(f"the run directory {run_dir} cannot be written: {error}") from error
    return run_dir


def write_json(file: Path, content: object) -> None:
    """Writes a JSON file aside and then in place, so that it is never half there."""
    aside = file.with_name(file.name + ".tmp")
    aside.write_text(json.dumps(content, indent=2) + "\n")
    aside.replace(file)


def _default(config: Config) -> str:
    env = config.env.replace("/", "-")
    return f"runs/{env}-{config.agent}-{config.activation}-{time.strftime('%Y%m%d-%H%M%S')}"


def _plain(value: object) -> object:
    """Tuples to lists, which YAML knows without tags."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
