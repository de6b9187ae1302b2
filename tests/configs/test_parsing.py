"""Flags and presets: what is accepted, and one clear line for what is not."""

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import configs
from configs import parsing
from training import Trainer


def test_flags_reach_their_settings() -> None:
    config = configs.parse(
        "--agent sac --env Pendulum-v1 --sac.hidden 32 16 --adalin.no-gate --num-seeds 3 "
        "--seed 4 --sac.target-entropy 0.0 --adalin.init uniform".split()
    )
    assert (config.agent, config.sac.hidden, config.adalin.gate) == (
        "sac",
        (32, 16),
        False,
    )
    assert list(config.seeds) == [4, 5, 6]
    assert config.sac.target_entropy == 0.0
    assert config.adalin.init == "uniform"


def test_preset_comes_before_the_flags_and_the_last_one_wins(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(
        "total_steps: 7\nnum_seeds: 2\ndqn: {hidden: [8], double: false, max_grad_norm: null}\n"
        "mitigation: [l2-init]\nl2_init: {strength: 0.5}\n"
    )
    config = configs.parse(["--config", str(preset), "--num-seeds", "5", "--num-seeds=6"])
    assert (config.total_steps, config.num_seeds) == (7, 6)
    assert (config.dqn.hidden, config.dqn.double, config.dqn.max_grad_norm) == ((8,), False, None)
    assert (config.mitigation, config.l2_init.strength) == (("l2-init",), 0.5)


@pytest.mark.parametrize("preset", sorted(configs.FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_preset_is_valid(preset: Path) -> None:
    assert configs.parse(["--config", str(preset)]).total_steps > 0


@given(
    st.sampled_from(["dqn", "sac"]),
    st.integers(1, 10**6),
    st.booleans(),
    st.floats(1e-6, 1.0),
    st.lists(st.integers(1, 512), max_size=3),
)
@settings(max_examples=25)
def test_used_settings_are_a_preset_that_gives_the_same_config(
    agent: str, steps: int, gate: bool, rate: float, hidden: list[int]
) -> None:
    flags = ["--agent", agent, "--total-steps", str(steps), f"--{agent}.learning-rate", repr(rate)]
    flags += [
        f"--{agent}.hidden",
        *map(str, hidden),
        "--adalin.gate" if gate else "--adalin.no-gate",
    ]
    config = configs.parse(flags)
    plain = yaml.safe_load(yaml.safe_dump(_lists(config.used())))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preset.yaml"
        path.write_text(yaml.safe_dump(plain))
        assert configs.parse(["--config", str(path)]) == config


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


def test_flags_may_turn_a_preset_around(tmp_path: Path) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text("agent: dqn\ndqn: {gamma: 0.9}\nadalin: {init: uniform}\nsac:\n")
    config = configs.parse(
        ["--config", str(preset), "--agent", "sac", "--env", "Pendulum-v1", "--activation", "relu"]
    )
    assert (config.agent, config.activation) == ("sac", "relu")
    assert "dqn" not in config.used()


BAD = {
    "--agnt dqn": "there is no flag '--agnt'. Did you mean '--agent'?",
    "--agent dqm": "invalid choice 'dqm' for argument '--agent'. Expected one of ('dqn', 'sac').",
    "--env obs-shift-cartpol": "no environment 'obs-shift-cartpol'. Did you mean 'obs-shift-cartp",
    "--activation adalin-rel": "no activation 'adalin-rel'. Did you mean 'adalin-relu'?",
    "--activation zzz": "no activation 'zzz'. --list-activations shows all.",
    "--agent sac --sac.actor-activation rellu": "no activation 'rellu'. Did you mean 'relu'?",
    "--mitigation l2int": "no mitigation 'l2int'. Did you mean 'l2-init'?",
    "--sac.tau 0.1": "--sac.tau has no effect: agent dqn does not use it",
    "--agent sac --dqn.no-double": "--dqn.double has no effect: agent sac does not use it",
    "--activation relu --adalin.init zeros": "--adalin.init has no effect: activation relu",
    "--l2-init.strength 1": "--l2-init.strength has no effect: it needs --mitigation l2-init",
    "--env CartPole-v1 --cyclic": "--cyclic has no effect: environment CartPole-v1 does not",
    "--env cw20 --cyclic": "--cyclic has no effect: the tasks of cw20 have an order of their own",
    "--cyclic --task 1": "--cyclic has no effect: the environment stays at task 1",
    "--env CartPole-v1 --steps-per-task 9": "has no effect: environment CartPole-v1 does not",
    "--num-seeds 0": "`num_seeds` should be at least 1. Received 0",
    "--total-steps -5": "`total_steps` should be at least 1. Received -5",
    "--num-envs x": "--num-envs: invalid literal for int() with base 10: 'x'",
    "--dqn.batch-size 60000": "`batch_size` should be at most the buffer_size 50000",
    "--probe.every 0": "`every` should be at least 1. Received 0",
    "--device tpu": "invalid choice 'tpu' for argument '--device'",
    "--total-steps": "Missing value for argument '--total-steps'",
    "--config": "--config needs a file",
    "--config /nowhere.yaml": "the preset /nowhere.yaml cannot be read",
    "--mitigation l2-init --mitigation l2-init": "mitigation l2-init is given twice",
    "--agent sac --sac.no-learn-temperature --sac.target-entropy -2": "temperature is not learned",
    "--env continual/SlipperyAnt-v0": "is the benchmark 'slippery-ant': give that name",
    "--dqn.replay-ratio inf": "`replay_ratio` should be finite. Received inf",
    "--adalin.init nan": "`init` should be a finite number",
    "--config --seed": "--config needs a file",
    "word": "Unrecognized options: word",
    "--mitigation crelu": "crelu is an activation: give --activation crelu",
    "--mitigation redo --redo.every 0": "redo: `every` should be at least 1. Received 0",
    "--mitigation redo --redo.tau -1": "redo: `tau` should be at least 0. Received -1.0",
    "--mitigation redo --redo.taw 1": "there is no flag '--redo.taw'. Did you mean '--redo.tau'?",
    "--mitigation redo --mitigation snr": "mitigations redo and snr can't be combined: both",
    "--mitigation sample-weight-decay --sample-weight-decay.networks q": "should be empty",
    "--mitigation simba --simba.actor-width 8": "--simba.actor-width has no effect: agent dqn has",
    "--mitigation simba --dqn.hidden 8 8": "--dqn.hidden has no effect: simba has widths",
    "--halve-widths": "--halve-widths has no effect: activation adalin-relu keeps the width",
    "--probe.refit-steps 3": "--probe.refit-steps has no effect: it needs --probe.refit-every",
    "--num-seeds 1 2": "--num-seeds takes one value. Received 1 2",
    "--mitigation redo l2-init": "--mitigation takes one value. Received redo l2-init",
    "--dqn.double true": "--dqn.double takes no value. Received true",
    "--dqn.no-double=x": "--dqn.no-double takes no value. Received x",
    "--no-seed": "there is no flag '--no-seed'. Did you mean '--seed'?",
    "--adalin.init x": "--adalin.init: should be zeros,uniform or of type FLOAT. Received 'x'",
    "--steps-per-task x": "--steps-per-task: should be None or of type INT. Received 'x'",
    "--adalin.init -1e300": "`adalin.init` should be at least -9007199254740992",
    "--seed 9007199254740993": "`seed` should be at most 9007199254740992. Received 900",
    "--dqn.hidden 8 65537": "`dqn.hidden` should be at most 65536. Received 65537",
    f"--dqn.hidden {'8 ' * 257}": "`hidden` should have at most 256 layers. Received 257",
    "--num-seeds 1000 --num-envs 17": "`num_seeds` times `num_envs` should be at most 16384 with",
    "--num-seeds 5 --num-envs 205 --vector async": "at most 1024 with vector async. Received 1025",
    "--eval-every 9 --num-seeds 5 --eval-episodes 4000": "times `eval_episodes` should be at most",
    "--run-dir \udcff": "`run_dir` should be a name in UTF-8: ",
    "--probe.dear-every 0": "probe: `dear_every` should be at least 1. Received 0",
}


@pytest.mark.parametrize(("flags", "message"), BAD.items())
def test_bad_flags_get_one_clear_line(flags: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is checked below
        configs.parse(flags.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent: [", "is not YAML"),
        ("just words", "should hold `setting: value` lines"),
        ("num_seds: 3", "there is no setting 'num-seds'. Did you mean 'num-seeds'?"),
        ("dqn: {lerning_rate: 3}", "no setting 'dqn.lerning-rate'. Did you mean 'dqn.learning-rat"),
        ("num_seeds: [1, 2]", "num-seeds takes one value. Received [1, 2]"),
        ("dqn: 3", "dqn is a section of settings. Received 3"),
        ("sac: {tau: 0.1}", "--sac.tau has no effect: agent dqn does not use it"),
        ("total_steps: many", "--total-steps: invalid literal"),
        ("agent: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_bad_presets_get_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    preset = tmp_path / "p.yaml"
    preset.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is checked below
        configs.parse(["--config", str(preset)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_differences_name_both_values() -> None:
    old, new = {"seed": 0, "dqn": {"gamma": 0.9}}, {"seed": 0, "dqn": {"gamma": 0.99}, "env": "x"}
    assert configs.differences(old, new) == ["dqn.gamma: 0.9 -> 0.99", "env: absent -> x"]


def test_remedies_are_combined_with_nested_settings_and_come_back_from_their_preset(
    tmp_path: Path,
) -> None:
    flags = "--mitigation redo --mitigation l2-init --redo.tau 0.1 --redo.networks q"
    config = configs.parse(flags.split())
    assert list(config.remedies) == ["redo", "l2-init"]
    assert (config.redo.tau, config.redo.networks, config.redo.every) == (0.1, ("q",), 1000)
    used = config.used()
    assert "redo" in used
    assert "upgd" not in used
    assert "refit_steps" not in used["probe"]  # it would have no effect
    preset = tmp_path / "p.yaml"
    preset.write_text(yaml.safe_dump(yaml.safe_load(json.dumps(used))))
    assert configs.parse(["--config", str(preset)]) == config


def test_long_runs_are_compiled_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiles(flags: str) -> bool:
        return configs.parse(f"--env CartPole-v1 --dqn.replay-ratio 1 {flags}".split()).compile

    monkeypatch.setattr(parsing, "can_compile", lambda: True)
    assert compiles("--total-steps 51000")
    assert not compiles("--total-steps 50999")
    assert compiles("--total-steps 100 --compile")
    assert not compiles("--total-steps 90000 --no-compile")
    assert not compiles("--total-steps 90000 --mitigation redo")
    assert not compiles("--total-steps 90000 --env ALE/Pong-v5")
    monkeypatch.setattr(parsing, "can_compile", lambda: False)
    assert not compiles("--total-steps 90000")


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="`compile` needs a C.. compiler"):
        Trainer(configs.parse(["--compile"]), Console(quiet=True))
