"""Any command line and any preset: either a run, or one line and the code 2."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import train
from configs import Config
from configs.parsing import FOLDER, _settings
from envs import BENCHMARKS
from networks import ACTIVATIONS
from plasticity import MITIGATIONS

FLAGS = [name for name, _ in _settings(Config)]
NEGATIONS = ["no-compile", "adalin.no-gate", "dqn.no-double", "no-save-replay"]
# fmt: off
ODD = [
    "", "-1", "0", "1", "nan", "inf", "-inf", "1e400", "1.0e+300", "9" * 5000, "0x10", "1_0",
    "1:1.5", "None", "true", "--", "-", "=", "a=b", "-1h", "--run-dir=x", "\u2603", "a\nb", "{}",
    "[1, 2]", "../x", "$(x)", "%s", "'", "\x1b[0m", "os:CartPole-v1", "obs-permute-" * 500 + "x-v1",
]
YAML = [
    ":", "- ", "\n", "  ", "&a ", "*a", "!!x ", "!!int ", "!!float ", "!!bool ", "!!timestamp ",
    "#", "\t", "\0", "? ", "<<: ", "[", "{", "|\n", "---\n", "2020-01-01", '"\\UFFFFFFFF"',
    "\ud800", ":".join(["1"] * 400) + ".5", "run_dir: x\n",
]
# fmt: on
GOOD = [
    "--env CartPole-v1 --total-steps 500 --dqn.hidden 8 8 --dqn.no-double --seed=3",
    "--agent sac --env Pendulum-v1 --sac.tau 0.1 --sac.max-grad-norm None --num-seeds 2",
    "--mitigation redo --redo.tau 0.1 --redo.networks q --mitigation l2-init --activation relu",
    "--steps-per-task 100 --task-seed 3 --eval-every 50 --eval-episodes 2 --adalin.init uniform",
    "--run-dir r --num-envs 4 --vector async --on-switch clear-replay --checkpoint-every 9",
]
NAMES = [*BENCHMARKS, *ACTIVATIONS, *MITIGATIONS, "CartPole-v1", "Pendulum-v1", "dqn", "sac"]
PRESETS = [path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]
values = st.sampled_from([*ODD, *NAMES]) | st.text(max_size=8) | st.integers().map(str)
values |= st.floats().map(str)


@st.composite
def flags(draw: st.DrawFn) -> list[str]:
    """A flag, mostly one that exists, with values or without."""
    name: str = draw(st.sampled_from([*FLAGS, *NEGATIONS, *(f.partition(".")[0] for f in FLAGS)]))
    if draw(st.integers(0, 9)) == 0:  # misspelt
        at = draw(st.integers(0, len(name)))
        name = name[:at] + draw(st.sampled_from("x-_. =")) + name[at + 1 :]
    name = name.replace("-", draw(st.sampled_from("---_")))
    many = draw(st.lists(values, max_size=2))
    joined: bool = draw(st.booleans())
    return [f"--{name}={many[0]}"] if many and joined else [f"--{name}", *many]


@st.composite
def mutated_line(draw: st.DrawFn) -> list[str]:
    """A good command line of which something is missing, there twice or another."""
    tokens = draw(st.sampled_from(GOOD)).split()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(tokens) - 1))
        more = draw(
            st.just([]) | st.just(tokens[at : at + 1] * 2) | flags() | values.map(lambda v: [v])
        )
        tokens[at : at + draw(st.integers(0, 2))] = more
    return tokens


lines = st.lists(flags(), max_size=3).map(lambda parts: [token for part in parts for token in part])
lines |= mutated_line()
scalars = st.none() | st.booleans() | st.integers() | st.floats() | values | st.dates()
keys = st.sampled_from([f.replace("-", "_") for f in FLAGS]) | st.sampled_from(FLAGS)
keys |= st.sampled_from(["dqn", "sac", "probe", "redo"]) | st.text(max_size=5)
trees = st.recursive(
    scalars | st.lists(scalars, max_size=3),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A preset of the project with a few characters changed."""
    text = draw(st.sampled_from(PRESETS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        more = draw(st.sampled_from([*ODD, *YAML]))
        text = text[:at] + more + text[at + draw(st.integers(0, 3)) :]
    return text


presets = trees.map(lambda tree: yaml.safe_dump(tree, allow_unicode=True)) | mutated()
presets |= st.text(max_size=60)


class Accepted(Exception):  # noqa: N818  # it is no error
    """The command line is one that a run begins with."""


@contextlib.contextmanager
def no_training(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    def accept(config: Config, console: Any) -> None:
        raise Accepted

    with monkeypatch.context() as patch:
        patch.setattr(train, "Trainer", accept)
        patch.chdir(folder)
        yield


def is_a_run_or_one_line(args: list[str]) -> bool:
    """Whether a run begins; if not, checks how the program says that it does not."""
    error = io.StringIO()
    code: Any = None
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = train.main(args)
        except Accepted:
            return True
        except SystemExit as stop:
            helped = not stop.code
    if code is None:
        assert helped, args
        assert any(re.match("-h$|--h", arg) for arg in args), args
        return False
    assert code == 2, args
    assert error.getvalue().startswith("train.py: error: "), args
    assert error.getvalue().count("\n") == 1, (args, error.getvalue())
    assert error.getvalue()[:-1].isprintable(), args
    assert len(error.getvalue()) < 700, args
    return False


usual = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(usual, max_examples=300)
@given(args=lines)
def test_any_command_line(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with no_training(monkeypatch, tmp_path):
        is_a_run_or_one_line(args or ["--seed", "1"])
    assert not list(tmp_path.iterdir())


@settings(usual, max_examples=220)
@given(text=presets, args=st.just([]) | flags())
def test_any_preset(
    text: str, args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_bytes(text.encode(errors="surrogatepass"))
    with no_training(monkeypatch, tmp_path):
        is_a_run_or_one_line(["--config", str(preset), *args])
    assert list(tmp_path.iterdir()) == [preset]


def test_what_is_good_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with no_training(monkeypatch, tmp_path):
        for line in GOOD:
            assert is_a_run_or_one_line(line.split())
        for path in sorted(FOLDER.glob("*.yaml")):
            assert is_a_run_or_one_line(["--config", str(path)])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--dqn.batch-size 60000 --run-dir r", "`batch_size` should be at most the buffer_size"),
        ("--task 10 --run-dir r", "`task` should be from 0 to 9"),
        ("--agent sac --env CartPole-v1 --run-dir r", "agent dqn takes it"),
        ("--run-dir file/r", "the run directory file/r cannot be written"),
    ],
)
def test_what_does_not_fit_leaves_no_files(
    flags: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    code = train.main(flags.split())
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("train.py: error: ")
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
