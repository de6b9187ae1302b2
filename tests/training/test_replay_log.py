"""Rows of a replay come back from the disk, and no more lies there than is needed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents import Replay
from agents.saving import DamagedError
from training import replay_log
from training.replay_log import ReplayLog


def replay(capacity: int = 10, num_envs: int = 2) -> Replay:
    return Replay(
        capacity * num_envs, [0], num_envs, (3,), torch.float32, (), torch.int64, gamma=0.9
    )


def add(ring: Replay, log: ReplayLog | None = None) -> None:
    n = ring.num_envs
    obs = torch.full((n, 3), float(ring.steps))
    flags = torch.zeros(n, dtype=torch.bool)
    ring.add(obs, torch.arange(n), obs[:, 0], obs + 1, flags, flags)
    if log:
        log.grow()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


@given(steps=st.lists(st.integers(0, 25), min_size=1, max_size=5), clear=st.booleans())
def test_rows_come_back(steps: list[int], clear: bool, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("log")
    ring, other = replay(), replay()
    log = ReplayLog(folder, ring)
    log._rows = log._due = 4
    for number in steps:
        for _ in range(number):
            add(ring, log)
        if clear and number % 2:
            ring.clear()
        listed = log.complete()
        log.prune(listed)
        assert {f"{item['first']}-{item['end']}.safetensors" for item in listed} == {*files(folder)}
    other.load_state_dict(ring.state_dict())
    ReplayLog(folder, other).restore(listed)
    rows = [r.rows(r.oldest, r.steps) for r in (ring, other)]
    for name, row in rows[0].items():
        assert torch.equal(row, rows[1][name])
    log.close()


def test_what_nobody_needs_is_not_on_the_disk(tmp_path: Path) -> None:
    ring = replay(capacity=10)
    log = ReplayLog(tmp_path, ring)
    log._rows = log._due = 4
    for _ in range(1_000):
        add(ring, log)
    assert len(files(tmp_path)) <= 3 + replay_log.AT_ONCE
    listed = log.complete()
    log.prune(listed)
    kept = files(tmp_path)
    for _ in range(100):
        add(ring, log)
    assert {*kept} <= {*files(tmp_path)}  # the checkpoint needs them
    log.prune(log.complete())
    assert not {*kept} & {*files(tmp_path)}
    log.close()


def test_a_file_that_is_missing_or_of_another_replay_is_told_of(tmp_path: Path) -> None:
    ring = replay()
    log = ReplayLog(tmp_path, ring)
    for _ in range(7):
        add(ring, log)
    log.complete()
    for _ in range(2):
        add(ring, log)
    listed = log.complete()
    log.close()
    assert [(item["first"], item["end"]) for item in listed] == [(0, 7), (7, 9)]
    state = ring.state_dict()
    for wrong, message in (
        (listed[1:], "rows 0 to 7 are missing"),
        (listed[:1], "rows 7 to 9 are missing"),
        ([], "rows 0 to 9 are missing"),
    ):
        other = replay()
        other.load_state_dict(state)
        with pytest.raises(DamagedError, match=message):
            ReplayLog(tmp_path, other).restore(wrong)
    other = replay(num_envs=1, capacity=20)
    other.load_state_dict(state)
    with pytest.raises(DamagedError, match="holds no rows of this replay"):
        ReplayLog(tmp_path, other).restore(listed)
