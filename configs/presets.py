"""YAML files of settings, which may come from strangers."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 18


class _Plain(yaml.SafeLoader):
    """Values, lists and mappings alone: no tags, no aliases, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # few of them can stand for billions of values
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.YAMLError(f"a setting is called {key!r} {key_node.start_mark}")
            if key in keys:
                raise yaml.YAMLError(f"{key} is there twice {key_node.start_mark}")
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file of settings: nested mappings of numbers, texts, truth values and lists of them.

    Nothing in such a file runs code, is taken for a flag or needs much memory.

    Raises:
        ValueError: With one line, if it is no such file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"the preset {path} is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"the preset {path} should have at most {MAX_BYTES} bytes")
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the preset {path} cannot be read: {error}") from error
    try:
        content = _Plain(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"the preset {path} is not YAML: {problem}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the preset {path} should hold `setting: value` lines")
    _check(content, path)
    return content


def _check(value: Any, path: Path, name: str = "") -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check(item, path, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, list | dict):
                raise ValueError(f"{name} should be a list of values. Received {item} (in {path})")
            _check(item, path, name)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise ValueError(f"{name} should be a number or a text. Received {value} (in {path})")
    elif isinstance(value, str) and re.match(r"-(?![\d.])", value):
        raise ValueError(f"{name} should not begin with a dash. Received {value} (in {path})")
