from pathlib import Path

import pytest

from configs import parse
from sweeps.definition import read_sweep
from sweeps.expansion import Trial, expand
from tests.sweeps.files import write


def runs(folder: Path, text: str) -> list[Trial]:
    return expand(read_sweep(write(folder, "program: train\n" + text)))


def test_every_combination_with_its_seeds_packed(tmp_path: Path) -> None:
    found = runs(
        tmp_path,
        "arms: {plain: {activation: relu}, redo: {activation: relu, mitigation: [redo]}}\n"
        "grid: {dqn.tau: [0.5, 1.0], env: [CartPole-v1, ALE/Pong-v5]}\n"
        "seeds: {first: 3, count: 5, per_trial: 2}\n",
    )
    names = [trial.name.rpartition(",")[0] for trial in found]
    assert len(found) == len(set(names)) == 2 * 2 * 2 * 3
    assert names[:4] == [
        "plain,tau=0.5,env=CartPole-v1,seeds=3-4",
        "plain,tau=0.5,env=CartPole-v1,seeds=5-6",
        "plain,tau=0.5,env=CartPole-v1,seed=7",
        "plain,tau=0.5,env=ALE-Pong-v5,seeds=3-4",
    ]
    for trial in found:
        flags = ["--device", "cpu"]
        for name, value in trial.settings.items():
            values = value if isinstance(value, list) else [value]
            flags += [f"--{name}", *map(str, values)]
        assert trial.config == parse(flags)  # what the program makes of the same by hand


def test_what_an_arm_makes_useless_in_the_base_is_dropped(tmp_path: Path) -> None:
    text = "base: {adalin.init: uniform}\narms: {a: {activation: relu}, b: {dqn.tau: 0.5}}\n"
    relu, adalin = (trial.config for trial in runs(tmp_path, text))
    assert "adalin" not in relu.used()
    assert adalin.adalin.init == "uniform"


def test_the_hash_is_of_the_settings_alone(tmp_path: Path) -> None:
    one, two = (trial.name for trial in runs(tmp_path, "grid: {dqn.tau: [0.5, 1.0]}\n"))
    (other,) = (t.name for t in runs(tmp_path, "arms: {x: {dqn.tau: 0.5}}\n"))
    assert one[-8:] == other[-8:] != two[-8:]


def test_long_names_are_cut(tmp_path: Path) -> None:
    (trial,) = runs(tmp_path, f"arms: {{{'x' * 300}: {{activation: relu}}}}\n")
    assert len(trial.name) == 120 + 9


def test_a_gpu_is_used_by_those_that_have_a_share(tmp_path: Path) -> None:
    def device(text: str) -> str:
        return runs(tmp_path, text)[0].config.device

    assert device("") == "cpu"
    assert device("resources: {gpu: 0.25}\n") == "auto"
    with pytest.raises(ValueError, match="needs a share of a GPU: set `resources.gpu`"):
        device("base: {device: cuda}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "base: {dqn.tua: 1}\n",
            "there is no setting 'dqn.tua'. Did you mean 'dqn.tau'? (in base)",
        ),
        ("grid: {dqn.tau: [1, 2]}\n", "(in tau=2)"),
        ("grid: {activation: [relu, rleu]}\n", "there is no activation 'rleu'"),
        (
            "arms: {a: {sac.tau: 0.1}}\n",
            "--sac.tau has no effect: agent dqn does not use it (in a)",
        ),
        ("arms: {a: {dqn.tau: 0.5}, b: {dqn.tau: 0.50}}\n", "a and b are the same run"),
        ("arms: {a: {activation: adalin-relu}, b: {env: CartPole-v1}, c: {}}\n", "a and c are"),
        ("seeds: {count: 5000}\n", "`num_seeds` should be at most 1024. Received 5000"),
    ],
)
def test_what_the_program_refuses_is_refused_before_anything_runs(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=".") as error:
        runs(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_shipped_sweeps_are_sound() -> None:
    folder = Path(__file__).parents[2] / "configs" / "sweeps"
    sizes = {path.stem: len(expand(read_sweep(path))) for path in folder.glob("*.yaml")}
    assert sizes == {"quick": 4, "rl-plasticity": 40}
