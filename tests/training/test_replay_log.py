"""Rows of a replay come back from the disk, and no more lies there than is needed."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file
from safetensors.torch import save as tensors_to_bytes

from agents import Replay
from agents.saving import DamagedError, sha256
from training import replay_log
from training.replay_log import Entry, ReplayLog


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


@given(
    steps=st.lists(st.integers(0, 25), min_size=1, max_size=5),
    clear=st.booleans(),
    cut=st.sampled_from(("", "before", "after")),
)
@example(steps=[4], clear=False, cut="before")  # the file is full, and written
@example(steps=[3, 3], clear=False, cut="after")
def test_rows_come_back(
    steps: list[int], clear: bool, cut: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    ring, other = replay(), replay()
    log = ReplayLog(folder, ring)
    log._rows = log._due = 4
    for number in steps:
        for _ in range(number):
            add(ring, log)
        if clear and number % 2:
            ring.clear()
        if cut == "before":
            ring.cut()
        listed = log.complete()
        if cut == "after":  # as where an environment does not repeat itself
            ring.cut()
        log.prune(listed)
        assert {f"{item['first']}-{item['end']}.safetensors" for item in listed} == {*files(folder)}
    other.load_state_dict(ring.state_dict())
    ReplayLog(folder, other).restore(listed)
    rows = [r.rows(r.oldest, r.steps) for r in (ring, other)]
    for name, row in rows[0].items():
        assert torch.equal(row, rows[1][name])
    log.close()


def test_an_error_that_is_past_stops_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, other = replay(), replay()
    log = ReplayLog(tmp_path, ring)
    log._rows = log._due = 4
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) in (1, 3):
            raise OSError("no space left")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(7):  # the first file fails, and waits to be asked
        add(ring, log)
    with pytest.raises(OSError, match="no space left"):  # that one, then one of now
        log.complete()
    listed = log.complete()
    other.load_state_dict(ring.state_dict())
    ReplayLog(tmp_path, other).restore(listed)
    assert torch.equal(other.store["reward"], ring.store["reward"])
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


def images(length: int = 10) -> Replay:
    return Replay(2 * length, [0], 2, (4, 2, 2), torch.uint8, (), torch.int64, gamma=0.9, stack=4)


def see(ring: Replay, log: ReplayLog, steps: int, draw: torch.Generator) -> None:
    """Adds steps of episodes of random lengths."""
    zeros = torch.zeros(2)
    obs = torch.randint(256, (2, 4, 2, 2), dtype=torch.uint8, generator=draw)
    for _ in range(steps):
        frame = torch.randint(256, (2, 1, 2, 2), dtype=torch.uint8, generator=draw)
        next_obs = torch.cat((obs[:, 1:], frame), 1)
        ended = torch.rand(2, generator=draw) < 0.1
        ring.add(obs, zeros.long(), zeros, next_obs, ended, ended)
        log.grow()
        start = torch.cat((torch.zeros(2, 3, 2, 2, dtype=torch.uint8), frame), 1)
        obs = torch.where(ended.view(2, 1, 1, 1), start, next_obs)


@given(
    steps=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    clear=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_frames_come_back_and_go_on(
    steps: list[int], clear: bool, seed: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("log")
    draws = torch.Generator().manual_seed(seed), torch.Generator()
    rings = images(), images()
    log = ReplayLog(folder, rings[0])
    log._rows = log._due = 4
    for number in steps:
        see(rings[0], log, number, draws[0])
        if clear and number % 2:
            rings[0].clear()
        listed = log.complete()
        log.prune(listed)
    rings[1].load_state_dict(rings[0].state_dict())
    other = ReplayLog(folder, rings[1])
    other.restore(listed)
    draws[1].set_state(draws[0].get_state())
    for more in (0, 7):
        for ring, its, draw in zip(rings, (log, other), draws, strict=True):
            see(ring, its, more, draw)
        assert rings[0].state_dict()["frames"] == rings[1].state_dict()["frames"]
        assert rings[0].oldest == rings[1].oldest
        if rings[0].steps > rings[0].oldest:
            rows = [ring.rows(ring.oldest, ring.steps) for ring in rings]
            for name, row in rows[0].items():
                assert torch.equal(row, rows[1][name]), name
    log.close()
    other.close()


def test_a_frame_lies_on_the_disk_once(tmp_path: Path) -> None:
    ring = images(200)
    log = ReplayLog(tmp_path, ring)
    see(ring, log, 100, torch.Generator().manual_seed(0))
    (listed,) = log.complete()
    log.close()
    rows = load_file(tmp_path / f"{listed['first']}-{listed['end']}.safetensors")
    assert len(rows["frames"]) == ring.state_dict()["frames"] < 2 * 100 * 1.4


@pytest.mark.parametrize(
    "forge",
    [
        lambda rows: rows.pop("frames"),
        lambda rows: rows.update(frames=rows["frames"][1:]),
        lambda rows: rows.update(frames=rows["frames"].float()),
        lambda rows: rows.update(frames=rows["frames"].flatten(1)),
        lambda rows: rows.update(obs=rows["obs"].int()),
        lambda rows: rows["obs"].__setitem__((0, 0, 0), -1),
        lambda rows: rows["obs"].__setitem__((2, 0, 0), 1 << 62),
        lambda rows: rows["next_obs"].__setitem__((2, 1, 3), 1 << 62),
        lambda rows: rows["next_obs"].__setitem__((2, 1, 3), 0),
        lambda rows: rows["obs"].zero_(),
        lambda rows: [rows[name].add_(1_000) for name in ("obs", "next_obs")],
    ],
)
@pytest.mark.parametrize("file", [0, -1])
def test_forged_frames_are_refused(forge: Any, file: int, tmp_path: Path) -> None:
    ring = images()
    log = ReplayLog(tmp_path, ring)
    log._rows = log._due = 4
    see(ring, log, 20, torch.Generator().manual_seed(0))
    listed = log.complete()
    log.close()
    entry = Entry(**listed[file])
    rows = load_file(tmp_path / entry.name)
    forge(rows)
    data = tensors_to_bytes(rows)
    (tmp_path / entry.name).write_bytes(data)
    listed[file] |= {"bytes": len(data), "sha256": sha256(data)}
    other = images()
    other.load_state_dict(ring.state_dict())
    with pytest.raises(DamagedError) as error:
        ReplayLog(tmp_path, other).restore(listed)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("written", [-1, 1 << 63, None])
def test_a_forged_number_of_frames_is_refused(written: Any) -> None:
    ring = images()
    with pytest.raises((ValueError, TypeError)):
        ring.load_state_dict(ring.state_dict() | {"frames": written})


def test_frames_that_are_lost_are_told_of(tmp_path: Path) -> None:
    ring, other = images(), images()
    log = ReplayLog(tmp_path, ring)
    see(ring, log, 20, torch.Generator().manual_seed(0))
    listed = log.complete()
    log.close()
    other.load_state_dict(ring.state_dict() | {"frames": 10_000})
    with pytest.raises(DamagedError, match="frames of the oldest rows are missing"):
        ReplayLog(tmp_path, other).restore(listed)
