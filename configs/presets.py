"""YAML files of settings, which may come from strangers."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

MAX_BYTES = 1 << 16
MAX_INT = 1 << 63


class _Plain(yaml.SafeLoader):
    """Values, lists and mappings alone: no tags, no aliases, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:  # a few aliases can stand for billions of values
            problem = "anchors and aliases are not allowed"
            raise ConstructorError(None, None, problem, event.start_mark)
        if event.tag is not None:  # even a safe one, as in `!!int x`, may fail as no error of YAML
            raise ConstructorError(None, None, "tags are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"a setting is called {key!r}, which is not text: put it in quotes"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            if key in keys:
                raise ConstructorError(None, None, f"{key} is there twice", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file of settings: nested mappings of numbers, texts, truth values and lists of them.

    Nothing in such a file runs code, is taken for a flag or needs much memory.

    Raises:
        ValueError: With one line, if it is no such file.
    """
    try:
        text = _read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the preset {path} cannot be read: {error}") from error
    try:
        content = _Plain(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"the preset {path} is not YAML: {error.problem}{where}") from error
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"the preset {path} is not YAML: {problem}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the preset {path} should hold `setting: value` lines")
    _check(content, path)
    return content


def _read(path: Path) -> bytes:
    """Reads a regular file, but not without end: some of the kernel's say that they are empty."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"the preset {path} is not a file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"the preset {path} should have at most {MAX_BYTES} bytes")
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
    elif isinstance(value, int) and abs(value) >= MAX_INT:  # more digits than Python prints, maybe
        raise ValueError(f"{name} should be below 2**63 (in {path})")
    elif isinstance(value, str) and value.startswith("-") and not _NEGATIVE.fullmatch(value):
        raise ValueError(f"{name} should not begin with a dash. Received {value} (in {path})")


_NEGATIVE = re.compile(r"-[\d.]+(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
