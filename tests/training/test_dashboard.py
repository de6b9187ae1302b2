"""Charts that find their curves, points by hand, and pictures."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import configs
from plasticity.metrics import DESCRIPTIONS
from training import Trainer
from training.dashboard import (
    ACCURACY_GUIDE,
    RETURNS_GUIDE,
    metrics_guide,
    network_charts,
    points,
    return_against_dormant,
)
from training.summary import Summary, Visit, intervals

FLAGS = {
    "dqn": "--env obs-shift-cartpole --steps-per-task 100 --total-steps 300 --dqn.hidden 8 8 "
    "--dqn.batch-size 8 --dqn.learning-starts 20 --probe.every 25 --log-every 50 "
    "--probe.dear-every 100 --mitigation redo --redo.every 20 --mitigation l2-init --num-seeds 2",
    "sac": "--agent sac --env Pendulum-v1 --total-steps 450 --sac.hidden 8 8 --sac.batch-size 8 "
    "--sac.learning-starts 20 --probe.every 100 --log-every 150 --probe.dear-every 200",
}


@pytest.mark.parametrize("agent", FLAGS)
def test_every_chart_has_a_curve(agent: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    flags = [*FLAGS[agent].split(), "--run-dir", str(run_dir)]
    Trainer(configs.parse(flags), Console(file=io.StringIO())).run()
    board = EventAccumulator(str(run_dir)).Reload()
    tags = board.Tags()
    message = layout_pb2.Layout()
    (content,) = board.Tensors("custom_scalars__config__")[0].tensor_proto.string_val
    message.ParseFromString(content)
    assert [category.title[0] for category in message.category] == list(
        "1234567" if agent == "dqn" else "123456"
    )
    no_actions = re.compile("plasticity/critic/policy|plasticity/actor/(one_step|q_m)")
    for category in message.category:
        for chart in category.chart:
            patterns = chart.multiline.tag or [f"^{s.value}$" for s in chart.margin.series]
            found = [
                tag for pattern in patterns for tag in tags["scalars"] if re.search(pattern, tag)
            ]
            if not found:  # Pendulum never switches, policies have no values, critics no actions
                expected = any(no_actions.search(p.strip("^$")) for p in patterns)
                assert expected or "return of each task" in chart.title, chart.title
    network = "q" if agent == "dqn" else "critic"
    assert set(tags["histograms"]) >= {
        f"adalin/{network}/layer_1/alpha",
        f"plasticity/{network}/neuron_score/layer_2",
    }
    assert "return_against_dormant_neurons" in tags["images"]
    assert "guide/how to read this/text_summary" in tags["tensors"]
    if agent == "dqn":
        steps = [image.step for image in board.Images("return_against_dormant_neurons")]
        assert steps == [100, 200, 300]  # at each switch and at the end
        with (run_dir / "metrics.csv").open() as file:
            rows = {row["name"] for row in csv.DictReader(file)}
        assert rows >= {"mitigation/redo/q/units_reset", "mitigation/l2-init/q/penalty"}


def test_several_numbers_in_one_event_are_all_read(tmp_path: Path) -> None:
    from training.tracking import Tracker

    tracker = Tracker(tmp_path, [0, 1], {}, "")
    tracker.rows(7, 0, 0, {"a": [1.0, 3.0], "b": [float("nan"), 2.0], "c": [float("nan")] * 2})
    tracker.close()
    board = EventAccumulator(str(tmp_path)).Reload()
    assert set(board.Tags()["scalars"]) == {"a", "ci_low/a", "ci_high/a", "b"}
    values = {tag: board.Scalars(tag)[0] for tag in board.Tags()["scalars"]}
    assert (values["a"].step, values["a"].value, values["b"].value) == (7, 2.0, 2.0)
    assert values["ci_high/a"].value == pytest.approx(2 + 12.706204736, rel=1e-6)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 7


def visit(probes: list[tuple[int, list[float]]]) -> Visit:
    summary = Summary([0, 1])
    summary.begin(task=1, visit=0, start=100)
    now = summary.now
    now.episodes[0] = [(110, 10.0, 10), (120, 30.0, 10), (121, 50.0, 1)]
    now.episodes[1] = [(130, 70.0, 30)]
    now.probes = probes
    return now


def test_points_are_mean_returns_between_two_probes_of_each_seed() -> None:
    cloud = points(visit([(120, [0.1, 0.2]), (140, [0.3, 0.4])]))
    expected = [[120, 0.1, 20.0], [140, 0.3, 50.0], [140, 0.4, 70.0]]
    np.testing.assert_array_equal(cloud, expected)
    assert len(points(visit([(120, [float("nan")] * 2)]))) == 0


def test_the_picture_shows_the_last_visit_before_the_others() -> None:
    first = visit([(120, [0.1, 0.2]), (140, [0.3, 0.4])])
    figure = return_against_dormant([first, first])
    assert figure is not None
    axis = figure.axes[0]
    old, now = (np.asarray(dots.get_offsets()) for dots in axis.collections)
    np.testing.assert_allclose(now, [[10, 20], [30, 50], [40, 70]])
    np.testing.assert_allclose(old, now)
    assert "rank correlation, all visits: 1.00" in axis.get_title()
    assert return_against_dormant([first, visit([])]) is None


def test_the_guide_names_every_metric_and_every_group() -> None:
    for name in DESCRIPTIONS:
        assert f"| `{name}` |" in metrics_guide()
    for group in network_charts(["q"], True, mitigations=["redo"]):
        for guide in (RETURNS_GUIDE, ACCURACY_GUIDE):
            assert f"| {group} |" in guide


def test_intervals_of_many_rows_are_those_of_each() -> None:
    from scipy import stats

    table = np.random.default_rng(0).normal(size=(6, 5))
    table[1, 2] = table[2, 1:] = table[3] = np.nan
    mean, low, high = intervals(table)
    for i, row in enumerate(table):
        kept = row[~np.isnan(row)]
        if len(kept) > 1:
            bounds = stats.t.interval(0.95, len(kept) - 1, kept.mean(), stats.sem(kept))
            np.testing.assert_allclose((low[i], high[i]), bounds)
        assert np.isnan(low[i]) == (len(kept) < 2)
        assert np.isnan(mean[i]) == (len(kept) == 0)
