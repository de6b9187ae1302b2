"""Damage is always found, and a run directory of a stranger can do no harm."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import train
from agents import saving
from tests.training.test_faults import loud
from tests.training.test_resume import DQN, assert_same, run, trainer

pytestmark = pytest.mark.usefixtures("no_pictures")

CASES = 208


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that was never broken off, and one that was, with two checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    t = run(DQN, folder / "whole")
    run(DQN, folder / "broken", stop=200)
    return t, folder / "broken"


def damage(file: Path, how: str, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    at = draw.randrange(len(data))
    if how == "flip":
        data[at] ^= 1 << draw.randrange(8)
    elif how == "cut":
        del data[at:]
    elif how == "insert":
        data.insert(at, draw.randrange(256))
    elif how == "zero":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
        if bytes(data) == file.read_bytes():
            data[at] = 1
    file.unlink()
    if how != "delete":
        file.write_bytes(data)


@pytest.mark.parametrize("part", ["manifest.json", "state.json", "tensors.safetensors", "replay"])
def test_damage_is_never_gone_on_from(part: str, whole: Any, tmp_path: Path) -> None:
    never, broken = whole
    draw = random.Random(part)
    newest, before = saving.saved(broken / "checkpoint")
    files = [newest / part]
    if part == "replay":  # those that only the newest needs, and those that both need
        files = sorted((broken / "checkpoint/replay").iterdir())
        ends = [int(file.stem.split("-")[1]) for file in files]
        assert min(ends) <= int(before.name) < max(ends)
    for case in range(CASES // 4):
        file = draw.choice(files)
        how = ("flip", "flip", "flip", "cut", "insert", "zero", "delete")[case % 7]
        copy = tmp_path / str(case)
        shutil.copytree(broken, copy)
        damage(copy / file.relative_to(broken), how, draw)
        shared = part == "replay" and int(file.stem.split("-")[1]) <= int(before.name)
        if shared:
            with pytest.raises(ValueError, match="no checkpoint in .* is sound"):
                trainer(DQN, copy)
        else:
            t, output = loud(DQN, copy)
            assert t.step == int(before.name), (file, how)
            assert "warning: " in output.getvalue()
            assert str(copy) in output.getvalue()
            if case % 20 == 0:
                t.run()
                assert_same(t, never)
        shutil.rmtree(copy)


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.dictionaries(st.integers(0, 9) | st.text(min_size=1), inner, min_size=1),
)


@settings(max_examples=40)
@given(state=st.dictionaries(st.text(min_size=1), nested, min_size=1))
def test_any_state_comes_back(state: dict[str, Any], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("state") / "1"
    tensor = torch.arange(6.0).view(2, 3)
    state["tensors"] = {"a/b": tensor, "#1": tensor[:1], 1: tensor.T}
    saving.save(folder, state)
    back = saving.load(folder)
    tensors = [part.pop("tensors") for part in (state, back)]
    assert back == state
    assert list(tensors[1]) == list(tensors[0])
    assert all(torch.equal(tensors[1][name], tensors[0][name]) for name in tensors[0])


def test_a_save_that_is_cut_off_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving.save(tmp_path / "1", {"a": 1})
    write = saving.write
    for last in range(3):
        written: list[Path] = []

        def cut_off(file: Path, data: bytes, last: int = last, written: Any = written) -> None:
            if len(written) == last:
                file.write_bytes(data[: len(data) // 2])
                raise KeyboardInterrupt
            written.append(file)
            write(file, data)

        monkeypatch.setattr(saving, "write", cut_off)
        with pytest.raises(KeyboardInterrupt):
            saving.save(tmp_path / "2", {"a": 2})
        monkeypatch.undo()
        assert saving.newest(tmp_path)[1] == {"a": 1}
    saving.save(tmp_path / "2", {"a": 2})
    assert saving.newest(tmp_path)[1] == {"a": 2}
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


# Strangers


def forged(folder: Path, change: Any) -> None:
    """Changes a state so that all its checksums are right."""
    state = saving.load(folder)
    change(state)
    saving.save(folder, state)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["trainer"].update(step="far"),
        lambda s: s["trainer"].pop("step"),
        lambda s: s.update(trainer=[1]),
        lambda s: s.pop("agent"),
        lambda s: s["agent"]["q"].update({"head.bias": torch.zeros(7)}),
        lambda s: s["agent"].update(optimizer={"state": {}, "param_groups": []}),
        lambda s: s["replay"].update(steps=10**15),
        lambda s: s["replay"]["streams"].update({0: torch.zeros(3, dtype=torch.uint8)}),
        lambda s: s["replay_files"]["files"][0].update(first="../../../etc/passwd"),
        lambda s: s["replay_files"]["files"][0].update(end="../../../etc/passwd"),
        lambda s: s["replay_files"]["files"][0].update(bytes=1 << 60),
        lambda s: s["replay_files"].update(files="harm"),
        lambda s: s["tracker"]["sizes"].update({"../victim": 0}),
        lambda s: s["tracker"]["sizes"].update({"config.yaml": 0}),
        lambda s: s["tracker"]["sizes"].update({"metrics.csv": 1 << 60}),
        lambda s: s["worlds"].update(actions=torch.full((3, 1), 99)),
        lambda s: s["worlds"].update(start=-5),
        lambda s: s["summary"].update(visits=[{"harm": 1}]),
    ],
)
def test_a_forged_state_is_refused(
    change: Any, whole: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole[1], tmp_path / "r")
    (tmp_path / "victim").write_text("precious")
    for folder in saving.saved(tmp_path / "r/checkpoint"):
        forged(folder, change)
    settings = (tmp_path / "r/config.yaml").read_bytes()
    assert train.main([*DQN.split(), "--run-dir", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: ")
    assert error.count("\n") == 1
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "r/config.yaml").read_bytes() == settings


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


def test_no_code_in_a_state_is_run(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tensors.safetensors", "state.json", "manifest.json"):
        shutil.copytree(whole[1], tmp_path / name)
        for folder in saving.saved(tmp_path / name / "checkpoint"):
            torch.save(Harm(), folder / name)
            if name == "tensors.safetensors":  # with the right checksum
                content = {part: (folder / part).read_bytes() for part in (name, "state.json")}
                manifest: dict[str, Any] = {
                    part: {"bytes": len(data), "sha256": saving.sha256(data)}
                    for part, data in content.items()
                }
                own = {**manifest, "manifest.json": saving.digest(manifest)}
                (folder / "manifest.json").write_text(json.dumps(own))
        with pytest.raises(ValueError, match="no checkpoint in .* is sound"):
            trainer(DQN, tmp_path / name)
    assert not (tmp_path / "harm").exists()
    with pytest.raises(pickle.UnpicklingError):  # it is a pickle that PyTorch would refuse, too
        torch.load(tmp_path / "state.json/checkpoint" / folder.name / "state.json")


@pytest.mark.parametrize(
    "data",
    [
        (1 << 62).to_bytes(8, "little") + b"{}",  # a header of that size
        b"\x50"
        + bytes(7)
        + b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}  ',
        b'{"a":' * 100_000,
        b"PK\x03\x04" + bytes(100),
    ],
)
def test_sizes_that_are_not_there_are_not_believed(data: bytes, tmp_path: Path) -> None:
    saving.save(tmp_path / "1", {"a": torch.zeros(2)})
    for name in (saving.TENSORS, saving.REST, saving.MANIFEST):
        (tmp_path / "1" / name).write_bytes(data)
        with pytest.raises(saving.DamagedError):
            saving.load(tmp_path / "1")


@pytest.mark.parametrize("name", ["metrics.csv", "config.yaml", "checkpoint/replay", ".lock"])
def test_links_out_of_a_run_directory_are_refused(
    name: str, whole: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, outside = tmp_path / "r", tmp_path / "outside"
    shutil.copytree(whole[1], run_dir)
    shutil.move(run_dir / name, outside)
    (run_dir / name).symlink_to(outside)
    before = outside.read_bytes() if outside.is_file() else sorted(outside.iterdir())
    assert train.main([*DQN.split(), "--run-dir", str(run_dir)]) == 2
    error = capsys.readouterr().err
    assert "is a link" in error or "symbolic links" in error
    assert before == (outside.read_bytes() if outside.is_file() else sorted(outside.iterdir()))


# Going on


def test_a_run_may_become_longer(tmp_path: Path) -> None:
    run(DQN, tmp_path / "r")
    t = run(DQN.replace("--total-steps 260", "--total-steps 400"), tmp_path / "r")
    assert t.step == 400
    rows = (tmp_path / "r/metrics.csv").read_text().splitlines()
    steps = [int(row.split(",")[0]) for row in rows[1:]]
    assert steps == sorted(steps)
    assert len({*rows}) == len(rows)
    assert "total_steps: 400" in (tmp_path / "r/config.yaml").read_text()
    with pytest.raises(ValueError, match="`total_steps` should be at least the 400 of the run"):
        trainer(DQN, tmp_path / "r")


def test_a_finished_run_stays_as_it_is(tmp_path: Path, whole: Any) -> None:
    run(DQN, tmp_path / "r")
    (tmp_path / "r/summary.json").write_text("mine")
    t, output = loud(DQN, tmp_path / "r")
    t.run()
    assert "all 260 steps are done; a larger --total-steps goes on" in output.getvalue()
    assert (tmp_path / "r/summary.json").read_text() == "mine"
    assert_same(t, whole[0])


def test_a_run_without_its_replay_cannot_go_on(tmp_path: Path) -> None:
    flags = f"{DQN} --no-save-replay"
    run(flags, tmp_path / "r", stop=200)
    assert not (tmp_path / "r/checkpoint/replay").exists()
    with pytest.raises(ValueError, match="was saved without its replay"):
        trainer(flags, tmp_path / "r")


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    t = run(DQN, tmp_path / "r")
    assert [path.name for path in saving.saved(tmp_path / "r/checkpoint")] == ["260", "180"]
    small = f"{DQN} --dqn.buffer-size 50"
    t = run(small, tmp_path / "small")
    files = sorted(int(p.name.split("-")[0]) for p in (t.run_dir / "checkpoint/replay").iterdir())
    assert files[0] >= 180 - 50 - 50  # what neither of the two needs is deleted
