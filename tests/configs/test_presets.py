"""Presets from strangers: whatever is in them, they are settings or an error of one line."""

import os
from pathlib import Path

import pytest

import configs
import train

BILLION = "a: &a [lol]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: [*c, *c, *c]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env: !!python/object/apply:os.system ['touch harm']", "tags are not allowed in line 1"),
        ("env: !!python/name:os.system", "tags are not allowed"),
        ("env: !env CartPole-v1", "tags are not allowed"),
        ("%TAG ! harm:\n---\nenv: !x y", "tags are not allowed in line 3"),
        ("--- !!map\nseed: 1", "tags are not allowed"),
        ("seed: !!int ''", "tags are not allowed"),  # PyYAML: IndexError
        ("seed: !!bool maybe", "tags are not allowed"),  # KeyError
        ("seed: !!timestamp then", "tags are not allowed"),  # AttributeError
        (BILLION, "aliases are not allowed"),
        ("dqn: &d {gamma: 0.9}\nsac: *d", "aliases are not allowed"),
        ("seed: &a 1", "anchors and aliases are not allowed in line 1"),
        ("<<: {seed: 1}", "is not YAML: could not determine a constructor"),
        ("seed: 1\nseed: 2", "seed is there twice in line 2"),
        ("num_seeds: 1\nnum-seeds: 2", "num-seeds is there twice"),
        ("dqn: {double: true}\ndqn.double: false", "dqn.double is there twice"),
        ("dqn: {gamma: 0.9, gamma: 0.8}", "gamma is there twice"),
        ("1: 2", "a setting is called 1"),
        ("? [a]\n: 2", "is not YAML: "),
        ("seed: 1\n---\nseed: 2", "found another document in line 2"),
        ("[" * 10_000, "is not YAML: "),
        ("seed: " + "9" * 5_000, "is not YAML: "),
        ("seed: 0x" + "f" * 5_000, "seed should be below 2**63"),
        ("seed: -9223372036854775808", "seed should be below 2**63"),
        ("seed: " + ":".join(["1"] * 400) + ".5", "is not YAML: int too large"),  # OverflowError
        ('env: "\\UFFFFFFFF"', "is not YAML: "),  # OverflowError
        ("a" * ((1 << 16) + 1), "should have at most 65536 bytes"),
        ("{a: " * 150 + "1" + "}" * 150, "there is no setting 'a.a."),
        ("seed: 2020-01-01", "seed should be a number or a text. Received 2020-01-01"),
        ("seed: !!set {a, b}", "tags are not allowed"),
        ("seed: !!binary aGk=", "tags are not allowed"),
        ("seed: [[1]]", "seed should be a list of values. Received [1]"),
        ("env: --run-dir=harm", "env should not begin with a dash. Received --run-dir=harm"),
        ("mitigation: [--run-dir, harm]", "mitigation should not begin with a dash"),
        ("dqn: {hidden: [8, --run-dir=harm]}", "dqn.hidden should not begin with a dash"),
        ("env: -x", "env should not begin with a dash"),
        ("env: -1h", "env should not begin with a dash"),
        ("env: '-1 --run-dir=harm'", "env should not begin with a dash"),
        ("run_dir: harm", "run-dir is for the command line alone"),
        ("run-dir: harm", "run-dir is for the command line alone"),
        ("run_dir: {}", "run-dir is for the command line alone"),
        ("config: other.yaml", "there is no setting 'config'"),
        ("env: this:CartPole-v1", "an environment is named without its module. Received 'this:"),
        ("env: " + "obs-permute-" * 1000 + "x-v1", "at most 200 letters. Received 12004"),
        ("env: ''", "there is no environment ''"),
        ("seed: .nan", "--seed: invalid literal"),
        ("seed: 1e400", "--seed: invalid literal"),
        ("seed: 1" + "0" * 400, "seed should be below 2**63"),
        ("dqn: {gamma: .inf}", "`gamma` should"),
        ("dqn: {learning_rate: 1.0e+300}", "learning_rate` should be at most 9007199254740992"),
        ("num_seeds: 1000000000", "`num_seeds` should be at most 1024. Received 1000000000"),
        ("seed: {}", "seed is no section of settings. Received {}"),
        ("nonsense: {}", "there is no setting 'nonsense'"),
        ("dqn: {hidden: true}", "dqn.hidden should not be true or false. Received True"),
        ("agent: no", "agent should not be true or false. Received False"),
        ("dqn: {double: 1}", "dqn.double should be true or false. Received 1"),
        ("dqn: {double: 'yes'}", "dqn.double should be true or false. Received yes"),
        ('env: "-\\e[31mred"', "Received -\\x1b[31mred"),  # nothing steers the terminal
        ("agent: " + "a" * 60_000, " ... "),
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
    assert error[:-1].isprintable()
    assert len(error) < 700
    assert [path.name for path in tmp_path.iterdir()] == ["preset.yaml"]


def test_what_is_no_text_file_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")  # would wait for ever
    (tmp_path / "latin").write_bytes(b"env: \xff")
    (tmp_path / "zeros").write_bytes(b"env: a\0b")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero"), tmp_path):
        assert train.main(["--config", str(path)]) == 2
        assert f"the preset {path} is not a file" in capsys.readouterr().err
    (tmp_path / "endless").symlink_to("/proc/self/pagemap")  # a regular file of size 0, it says
    for name in ("latin", "zeros", "nowhere", "endless"):
        assert train.main(["--config", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_link_to_a_preset_is_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(configs.DEFAULT)
    assert configs.read_yaml(tmp_path / "link") == configs.read_yaml(configs.DEFAULT)


def test_a_module_before_an_environment_is_not_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harmful.py").write_text("open('harm', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert train.main(["--env", "harmful:CartPole-v1"]) == 2
    assert "is named without its module" in capsys.readouterr().err
    assert not Path("harm").exists()
