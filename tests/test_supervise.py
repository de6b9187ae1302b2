"""The program: exit codes, messages, sweeps, presets, and real files of images."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import configs
import supervise
from configs import SupervisedConfig
from streams import DATA
from streams.files import FileSpec
from training import SupervisedTrainer

ROOT = Path(__file__).parent.parent
PRESETS = sorted((configs.FOLDER / "supervised").glob("*.yaml"))
SMALL = "--num-tasks 2 --images-per-task 32 --hidden 8 --probe.every 4 --log-every 4 "


def main(flags: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = supervise.main(flags.split())
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_says_what_it_does_and_where_its_files_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = main(f"{SMALL}--run-dir {tmp_path / 'r'}", capsys)
    assert (code, err) == (0, "")
    assert "mlp with adalin-relu on 2 tasks of random-label digits, 1 seed from 0" in out
    assert f"tensorboard --logdir {tmp_path / 'r'}" in out
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names >= {"config.yaml", "metrics.csv", "summary.json", "checkpoint"}
    code, out, _ = main(f"{SMALL}--run-dir {tmp_path / 'r'}", capsys)
    assert "all 4 steps are done; a larger --num-tasks goes on" in out
    assert (
        main(f"--config {tmp_path / 'r' / 'config.yaml'} --run-dir {tmp_path / 's'}", capsys)[0]
        == 0
    )
    tables = [(tmp_path / name / "metrics.csv").read_bytes() for name in "rs"]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--lernrate 3", "there is no flag '--lernrate'. Did you mean '--learning-rate'?"),
        ("--stream permute", "invalid choice"),
        ("--learning-rate 0", "`learning_rate` should be positive and finite. Received 0.0"),
        ("--momentum 1", "`momentum` should be in [0, 1). Received 1.0"),
        ("--hidden 8 0", "`hidden` should hold positive widths. Received (8, 0)"),
        ("--num-tasks 0", "`num_tasks` should be at least 1. Received 0"),
        ("--optimizer adam --momentum 0.5", "--momentum has no effect: optimizer adam"),
        ("--norm group", "--norm has no effect: network mlp does not use it"),
        ("--network resnet-18 --hidden 9", "--hidden has no effect: resnet-18 has no dense"),
        ("--classes-per-task 2", "has no effect: stream random-label has all classes in each task"),
        ("--data-dir /", "--data-dir has no effect: digits come with scikit-learn"),
        ("--mitigation upgd --optimizer sgd", "upgd brings an optimizer of its own"),
        ("--mitigation sample-weight-decay", "needs a replay, and there is none"),
        ("--data mnist", "`data_dir` should be the folder with the official files of 'MNIST"),
        ("--data mnist --data-dir /nowhere", "Looked in /nowhere/mnist"),
        ("--stream class-split --classes-per-task 3", "should divide the 10 classes of the data"),
        ("--stream class-split --classes-per-task 20", "should divide the 10 classes of the data"),
        ("--stream class-split --num-tasks 6", "`num_tasks` should be at most 5"),
        ("--images-per-task 2000", "`images_per_task` should be from 1 to 1437. Received 2000"),
        ("--images-per-task 9", "`batch_size` should be at most the 9 images of a task"),
        ("--network cnn", "the cnn needs images of at least 16 x 16. Received (1, 8, 8)"),
        ("--network resnet-18 --mitigation redo", "as in residual networks"),
        ("--network cnn --data digits --mitigation simba", "the cnn needs images"),
        ("--sweep-lr", "--sweep-lr takes different learning rates. Received"),
        ("--sweep-lr 1 1.0", "takes different learning rates. Received 1 1.0"),
        ("--sweep-lr a", "--sweep-lr takes numbers: could not convert string to float: 'a'"),
        ("--sweep-lr 1 --learning-rate 2", "give it once, without --learning-rate"),
        ("--sweep-lr 0 1", "`learning_rate` should be positive and finite. Received 0.0"),
        ("--sweep-lr 0.1 --lernrate 1", "there is no flag '--lernrate'"),
        ("--agent dqn", "there is no flag '--agent'"),
        ("--config configs/default.yaml", "there is no setting 'agent'"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    flags: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    code, _, err = main(f"{flags} --run-dir {tmp_path / 'r'}", capsys)
    assert code == 2
    assert err.startswith("supervise.py: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "r" / "metrics.csv").exists()


def test_a_sweep_runs_each_rate_and_names_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"{SMALL}--stream shuffled --num-seeds 2 --run-dir {tmp_path / 's'}"
    code, out, _ = main(f"--sweep-lr 1e-6 0.1 1e15 {flags}", capsys)
    assert code == 0
    found = json.loads((tmp_path / "s" / "sweep.json").read_text())
    means = {rate: of["mean"] for rate, of in found["average_online_accuracy"].items()}
    assert list(means) == ["1e-6", "0.1", "1e15"]
    assert means["1e15"] == 0.0  # it diverged
    assert found["best"] == max(means, key=lambda rate: means[rate])
    for rate in ("1e-6", "0.1"):
        summary = json.loads((tmp_path / "s" / f"lr-{rate}" / "summary.json").read_text())
        average = summary["average_online_accuracy"]
        assert average == found["average_online_accuracy"][rate]
    assert "best: " in out
    code, _, _ = main(f"--sweep-lr 1e15 0.1 {flags}", capsys)  # it diverges again
    assert code == 0
    again = json.loads((tmp_path / "s" / "sweep.json").read_text())["average_online_accuracy"]
    assert again == {rate: found["average_online_accuracy"][rate] for rate in ("1e15", "0.1")}
    code, out, _ = main(f"--sweep-lr 1e-6 0.1 {flags}", capsys)  # what is there is kept
    assert out.count("all 4 steps are done") == 2
    assert "is at the end of the list" in out


def test_a_full_disk_is_no_reason_to_name_another_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = SupervisedTrainer.advance

    def full(self: SupervisedTrainer) -> None:
        if self.step == 3:
            raise OSError("no space left")
        advance(self)

    flags = f"--sweep-lr 0.1 0.01 {SMALL}--stream shuffled --run-dir {tmp_path / 's'}"
    with monkeypatch.context() as patched:
        patched.setattr(SupervisedTrainer, "advance", full)
        code, out, err = main(flags, capsys)
    assert code == 1
    assert "no space left" in err
    assert "best: " not in out
    assert not (tmp_path / "s/sweep.json").exists()
    assert main(flags, capsys)[0] == 0  # the same command


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, words in {
        "--list-streams": ("class-incremental", "Dohare"),
        "--list-data": ("cifar-100", "fashion-mnist"),
        "--list-activations": ("adalin-relu",),
        "--list-mitigations": ("l2-init",),
    }.items():
        code, out, _ = main(flag, capsys)
        assert code == 0
        assert all(word in out for word in words)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: str(path.stem))
def test_presets_are_read(preset: Path) -> None:
    config = configs.parse_as(SupervisedConfig, ["--config", str(preset)])
    content = yaml.safe_load(preset.read_text())
    for name, value in content.items():
        expected = tuple(value) if isinstance(value, list) else value
        if not isinstance(value, dict):
            assert getattr(config, name) == expected
    twin = preset.with_name(f"{preset.stem}-digits.yaml")
    assert config.data == "digits" or _stream_of(twin) == config.stream


def _stream_of(preset: Path) -> str:
    return configs.parse_as(SupervisedConfig, ["--config", str(preset)]).stream


def small_cifar_100(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes files in the binary form of CIFAR-100, 10 images of each class and 1 to test on."""
    rng = np.random.default_rng(0)
    specs = {}
    (folder / "cifar-100-binary").mkdir()
    for name, count in (("train", 10), ("test", 1)):
        fine = np.repeat(np.arange(100, dtype=np.uint8), count)
        pixels = rng.integers(256, size=(len(fine), 3072), dtype=np.uint8)
        rows = rng.permutation(np.concatenate((fine[:, None] // 5, fine[:, None], pixels), 1))
        (folder / "cifar-100-binary" / f"{name}.bin").write_bytes(rows.tobytes())
        specs[name] = (FileSpec(f"{name}.bin", rows.size),)
    data = DATA["cifar-100"]
    binary = next(form for form in data.forms if form.train[0].name == "train.bin")
    small = replace(
        data, counts=(1000, 100), forms=(replace(binary, train=specs["train"], test=specs["test"]),)
    )
    monkeypatch.setitem(DATA, "cifar-100", small)


def test_resnet_learns_class_by_class_from_files_in_the_form_of_cifar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_cifar_100(tmp_path, monkeypatch)
    code, _, err = main(
        f"--data cifar-100 --data-dir {tmp_path} --stream class-incremental --network resnet-18 "
        "--num-tasks 2 --batch-size 25 --epochs 1 --augment --momentum 0.9 --width 4 --num-seeds 2 "
        f"--activation relu --probe.batch-size 8 --run-dir {tmp_path / 'r'}",
        capsys,
    )
    assert (code, err) == (0, "")
    tasks = json.loads((tmp_path / "r" / "summary.json").read_text())["tasks"]
    assert [task["start"] for task in tasks] == [0, 2]  # 50 images of 5 classes, then 100
    assert tasks[1]["accuracy/test"]["mean"] is not None


def test_a_signal_ends_the_run_with_its_files(tmp_path: Path) -> None:
    command = [sys.executable, "supervise.py", "--num-tasks", "500", "--run-dir", str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "goes on" in out
    assert json.loads((tmp_path / "summary.json").read_text())["finished"] is False
