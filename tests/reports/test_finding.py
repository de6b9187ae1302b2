from pathlib import Path
from typing import Any

import pytest

from reports.finding import find, flat
from tests.reports.writing import write


def test_folders_are_searched_and_each_run_counts_once(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "deep" / "run", [])
    second = write(tmp_path / "b", [])
    found, _ = find([tmp_path, first, tmp_path / "a" / ".." / "b"])
    assert [one.path for one in found] == [first, second]


def test_fresh_agents_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    run, fresh = write(tmp_path / "run", []), write(tmp_path / "fresh" / "0123", [])
    found, left_out = find([tmp_path])
    assert [one.path for one in found] == [run]
    assert left_out == [tmp_path / "fresh"]
    assert [one.path for one in find([tmp_path / "fresh"])[0]] == [fresh]


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "outside" / "run", [])
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(secret)
    with pytest.raises(ValueError, match="holds no run"):
        find([inside])
    run = write(inside / "run", [])
    (run / "config.yaml").unlink()
    (run / "config.yaml").symlink_to(secret / "config.yaml")
    with pytest.raises(ValueError, match="is a link"):
        find([inside])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("!!python/object:os.system x", "tags are not allowed"),
        ("activation: relu", "neither an env nor a stream"),
        ("env: x\nseed: 0\nnum_seeds: 100000", "`num_seeds` should be a number from 1 to 1024"),
        ("env: x\nnum_seeds: 1", "`seed` should be a number"),
        ("env: x\nseed: true\nnum_seeds: 1", "`seed` should be a number"),
        ("env: x\nactivation: 3\nseed: 0\nnum_seeds: 1", "`activation` should be a name"),
        ("env: x\nmitigation: 3\nseed: 0\nnum_seeds: 1", "`mitigation` should be a list of names"),
        (
            "env: x\nmitigation: [3]\nseed: 0\nnum_seeds: 1",
            "`mitigation` should be a list of names",
        ),
    ],
)
def test_a_damaged_config_is_refused(tmp_path: Path, text: str, message: str) -> None:
    run = write(tmp_path / "run", [])
    (run / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        find([run])


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "\x00"])
def test_a_damaged_summary_is_taken_as_absent(tmp_path: Path, text: str) -> None:
    run = write(tmp_path / "run", [])
    (run / "summary.json").write_text(text)
    (found,), _ = find([run])
    assert found.summary == {}
    assert "taken as absent" in found.notes[0]


def test_settings_are_flat() -> None:
    nested: dict[str, Any] = {"dqn": {"tau": 1, "hidden": [64, 64]}, "seed": 0}
    assert dict(flat(nested)) == {"dqn.tau": 1, "dqn.hidden": (64, 64), "seed": 0}
