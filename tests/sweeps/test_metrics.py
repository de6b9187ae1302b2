import json
from pathlib import Path

import pytest
from rich.console import Console

from configs import RunConfig, SupervisedConfig, parse, parse_as
from sweeps.metrics import METRICS, read_metric
from training import SupervisedTrainer, Trainer

SUMMARY = {
    "visits": [
        {"return": {"mean": 1.0}, "area_under_curve": {"mean": None}},
        {"return": {"mean": 4.0}, "area_under_curve": {"mean": None}},
        {"return": {"mean": None}, "area_under_curve": {"mean": None}},
    ],
    "average_online_accuracy": {"mean": 0.5},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visits.return", 2.5),
        ("visits.area_under_curve", None),
        ("average_online_accuracy", 0.5),
        ("evaluation.average_performance", None),
    ],
)
def test_parts_without_a_value_are_left_out(name: str, value: float | None) -> None:
    assert read_metric(SUMMARY, name) == value


def test_each_metric_is_in_the_summaries_of_real_runs(tmp_path: Path) -> None:
    flags = "--env obs-shift-cartpole --steps-per-task 300 --total-steps 600 --eval-every 300"
    train = f"{flags} --eval-episodes 1 --dqn.learning-starts 100 --dqn.hidden 8"
    supervise = "--stream class-incremental --num-tasks 2 --images-per-task 64 --hidden 8"
    configs: dict[str, RunConfig] = {
        "train": parse([*train.split(), "--run-dir", str(tmp_path / "train")]),
        "supervise": parse_as(
            SupervisedConfig, [*supervise.split(), "--run-dir", str(tmp_path / "supervise")]
        ),
    }
    console = Console(quiet=True)
    Trainer(configs["train"], console).run()  # type: ignore[arg-type]  # it is a Config
    SupervisedTrainer(configs["supervise"], console).run()  # type: ignore[arg-type]
    for program, names in METRICS.items():
        summary = json.loads((tmp_path / program / "summary.json").read_text())
        for name in names:
            assert read_metric(summary, name) is not None, name
