"""Presets from strangers: whatever is in them, they are settings or an error of one line."""

import os
from pathlib import Path

import pytest

import train

BILLION = "a: &a [lol]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: [*c, *c, *c]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env: !!python/object/apply:os.system ['touch harm']", "is not YAML: could not determine"),
        ("env: !!python/name:os.system", "is not YAML: could not determine a constructor"),
        ("env: !env CartPole-v1", "is not YAML: could not determine a constructor"),
        (BILLION, "aliases are not allowed"),
        ("dqn: &d {gamma: 0.9}\nsac: *d", "aliases are not allowed"),
        ("seed: 1\nseed: 2", "seed is there twice"),
        ("dqn: {gamma: 0.9, gamma: 0.8}", "gamma is there twice"),
        ("1: 2", "a setting is called 1"),
        ("? [a]\n: 2", "is not YAML: "),
        ("seed: 1\n---\nseed: 2", "is not YAML: expected a single document"),
        ("[" * 10_000, "is not YAML: "),
        ("seed: " + "9" * 5_000, "is not YAML: "),
        ("a" * (1 << 19), "should have at most 262144 bytes"),
        ("seed: 2020-01-01", "seed should be a number or a text. Received 2020-01-01"),
        ("seed: !!set {a, b}", "seed should be a number or a text"),
        ("seed: !!binary aGk=", "seed should be a number or a text"),
        ("seed: [[1]]", "seed should be a list of values. Received [1]"),
        ("env: --run-dir=harm", "env should not begin with a dash. Received --run-dir=harm"),
        ("mitigation: [--run-dir, harm]", "mitigation should not begin with a dash"),
        ("dqn: {hidden: [8, --run-dir=harm]}", "dqn.hidden should not begin with a dash"),
        ("env: -x", "env should not begin with a dash"),
        ("run_dir: harm", "run-dir is for the command line alone"),
        ("run-dir: harm", "run-dir is for the command line alone"),
        ("config: other.yaml", "there is no setting 'config'"),
        ("env: this:CartPole-v1", "an environment is named without its module. Received 'this:"),
        ("env: ''", "there is no environment ''"),
        ("seed: .nan", "--seed: invalid literal"),
        ("seed: 1e400", "--seed: invalid literal"),
        ("dqn: {gamma: .inf}", "`gamma` should"),
        ("env: \u2603", "there is no environment '\u2603'"),
        ("", "should hold `setting: value` lines"),
    ],
)
def test_a_preset_that_is_none_is_one_line(
    text: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("preset.yaml").write_text(text)
    assert train.main(["--config", "preset.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["preset.yaml"]


def test_what_is_no_text_file_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")  # would wait for ever
    (tmp_path / "latin").write_bytes(b"env: \xff")
    (tmp_path / "zeros").write_bytes(b"env: a\0b")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        assert train.main(["--config", str(path)]) == 2
        assert f"the preset {path} is not a file" in capsys.readouterr().err
    for name in ("latin", "zeros", "nowhere"):
        assert train.main(["--config", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_module_before_an_environment_is_not_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harmful.py").write_text("open('harm', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert train.main(["--env", "harmful:CartPole-v1"]) == 2
    assert "is named without its module" in capsys.readouterr().err
    assert not Path("harm").exists()
