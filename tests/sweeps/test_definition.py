from pathlib import Path

import pytest

from sweeps.definition import read_sweep
from tests.sweeps.files import write

HEAD = "program: train\n"
SEARCH = "search: {num_samples: 3, space: {dqn.learning-rate: {loguniform: [1e-5, 1e-2]}}}\n"


def test_names_are_those_of_flags_however_they_are_nested(tmp_path: Path) -> None:
    write(tmp_path, "env: Acrobot-v1\nseed: 7\nnum_seeds: 3\ndqn: {tau: 0.5}\n", "preset.yaml")
    text = """
    base: {preset: preset.yaml, dqn: {learning_rate: 0.1}, env: CartPole-v1}
    arms: {a: {redo: {tau: 0.1}, mitigation: [redo]}}
    grid: {dqn.gamma: [0.9, 0.99]}
    seeds: {first: 4, count: 10, per_trial: 4}
    resources: {cpu: 0.5, gpu: 0.25}
    """
    sweep = read_sweep(write(tmp_path, "program: train\n" + text.replace("\n    ", "\n")))
    assert sweep.base == {"env": "CartPole-v1", "dqn.tau": 0.5, "dqn.learning-rate": 0.1}
    assert sweep.arms == {"a": {"redo.tau": 0.1, "mitigation": ["redo"]}}
    assert sweep.grid == {"dqn.gamma": [0.9, 0.99]}
    assert sweep.seeds == (4, 10, 4)
    assert (sweep.cpu, sweep.gpu) == (0.5, 0.25)
    assert sweep.metric == ("visits.area_under_curve", "max")


def test_a_number_without_a_dot_is_a_number_nevertheless(tmp_path: Path) -> None:
    search = read_sweep(write(tmp_path, HEAD + SEARCH)).search
    assert search is not None
    assert search.space == {"dqn.learning-rate": ("loguniform", [1e-5, 1e-2])}
    assert (search.method, search.mode) == ("random", "max")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("program: trian\n", "`program` should be train or supervise. Received trian"),
        ("program: [train]\n", "`program` should be train or supervise. Received ['train']"),
        ("{}", "`program` should be train or supervise. Received None"),
        (HEAD + "gird: {}\n", "there is no key 'gird'. Did you mean 'grid'?"),
        (HEAD + "seeds: {per_trail: 1}\n", "Did you mean 'per_trial'? (in `seeds`)"),
        (HEAD + "resources: {ram: 1}\n", "Known: ('cpu', 'gpu') (in `resources`)"),
        (HEAD + "grid: {}\n", "`grid` is empty"),
        (HEAD + "grid:\n", "`grid` is empty"),
        (HEAD + "arms: {}\n", "`arms` is empty"),
        (HEAD + "grid: {env: []}\n", "`grid.env` should be a list of values. Received []"),
        (HEAD + "grid: {env: x}\n", "`grid.env` should be a list of values. Received x"),
        (HEAD + "grid: {seed: [1]}\n", "`grid` cannot set seed: give `seeds`"),
        (HEAD + "base: {run_dir: x}\n", "`base` cannot set run-dir: each run gets one"),
        (HEAD + "grid: {dqn.tau: [1, 1]}\n", "`grid.dqn.tau` holds a value twice"),
        (HEAD + "arms: {a: 1}\n", "`arms.a` should hold settings. Received 1"),
        (HEAD + "base: 3\n", "`base` should hold `name: value` lines. Received 3"),
        (HEAD + "base: {dqn: {tau: 1}, dqn.tau: 1}\n", "dqn.tau is there twice (in `base`)"),
        (HEAD + "base: {preset: 3}\n", "`base.preset` should be the name of a file"),
        (HEAD + "arms: {a: {env: x}}\ngrid: {env: [x]}\n", "`env` is set by arm a and by the grid"),
        (HEAD + "seeds: {count: 0}\n", "`seeds.count` should be a whole number of at least 1"),
        (HEAD + "seeds: {per_trial: 2}\n", "`seeds.per_trial` should be at most 1. Received 2"),
        (HEAD + "resources: {cpu: 0}\n", "`resources.cpu` should be above 0. Received 0"),
        (HEAD + "resources: {gpu: -1}\n", "`resources.gpu` should be at least 0. Received -1"),
        (HEAD + "resources: {gpu: 1.5}\n", "`resources.gpu` should be whole if above 1"),
        (HEAD + "resources: {gpu: x}\n", "`resources.gpu` should be a finite number. Received x"),
        (HEAD + SEARCH + "grid: {env: [x]}\n", "give `search`, or `grid` and `arms`, not both"),
        (HEAD + SEARCH + "seeds: {count: 2, per_trial: 1}\n", "a sample is one run"),
        (HEAD + "search: {num_samples: 1}\n", "`search.space` is empty"),
        (HEAD + "search: {method: grid}\n", "`search.method` should be one of"),
        (HEAD + "search: {mode: best}\n", "`search.mode` should be max or min. Received best"),
        (HEAD + "search: {metric: visits.retrun}\n", "Did you mean 'visits.return'?"),
        (HEAD + "search: {space: {x: {choice: [1]}}}\n", "`search.num_samples` should be a whole"),
        (HEAD + "search: {grace_period: 3}\n", "there is no key 'grace_period'"),
    ],
)
def test_bad_files_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=".") as error:
        read_sweep(write(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{dqn.tau: {normal: [0, 1]}}", "`search.space.dqn.tau.normal` should be drawn by one of"),
        ("{dqn.tau: 1}", "`search.space.dqn.tau` should be drawn by one of"),
        ("{dqn.tau: {uniform: [1, 0]}}", "should be two bounds, the lower first"),
        ("{dqn.tau: {uniform: [1]}}", "should be two bounds, the lower first"),
        ("{dqn.tau: {loguniform: [0, 1]}}", "should have positive bounds"),
        ("{dqn.tau: {choice: []}}", "should be a list of values"),
        ("{dqn.tau: {uniform: [0, x]}}", "should be a finite number. Received x"),
        ("{seed: {choice: [1]}}", "`search.space` cannot set seed: give `seeds`"),
        ("{dqn.tau: {choice: [1], uniform: [0, 1]}}", "`search.space` cannot set dqn.tau twice"),
    ],
)
def test_bad_spaces_are_one_line(space: str, message: str, tmp_path: Path) -> None:
    text = f"{HEAD}search: {{num_samples: 1, space: {space}}}\n"
    with pytest.raises(ValueError, match=".") as error:
        read_sweep(write(tmp_path, text))
    assert message in str(error.value)
