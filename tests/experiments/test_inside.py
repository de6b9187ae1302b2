"""What is seen inside the networks of an experiment's runs."""

from pathlib import Path

import inside
import pytest


def test_what_was_paid_is_the_mean_return_from_each_step() -> None:
    discount, expected, steps = 0.9, 0.0, 0
    episodes = [(6.0, 3), (-8.0, 4)]
    for total, length in episodes:
        for t in range(length):
            expected += sum(discount**k * total / length for k in range(length - t))
            steps += 1
    rows: inside.Rows = {
        "return/episode": {0: [total for total, _ in episodes]},
        "return/length": {0: [float(length) for _, length in episodes]},
    }
    assert inside.paid(rows, discount).tolist() == [pytest.approx(expected / steps)]


@pytest.mark.parametrize("tasks", [1, 4, 8])
def test_only_the_last_quarter_counts_and_layers_have_their_columns(
    tasks: int, tmp_path: Path
) -> None:
    lines = ["step,seed,task,visit,name,value"]
    for visit in range(8):
        for seed in (0, 1):
            for name, value in (
                ("return/episode", 10.0),
                ("return/length", 10.0),
                ("plasticity/q/q_mean", visit + seed),
                ("plasticity/q/dormant_fraction@0.1/layer_1", 0.25),
                ("plasticity/q/dormant_fraction@0.1/layer_2", 0.5),
                ("adalin/q/layer_1/alpha_mean", 0.1),
                ("adalin/q/layer_2/alpha_mean", 0.3),
            ):
                lines.append(f"{visit},{seed},{visit % tasks},{visit // tasks},{name},{value}")
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "config.yaml").write_text("agent: dqn\ndqn:\n  gamma: 0.5\n")
    table = inside.tables({"one": tmp_path})
    assert table[1] == "### q"
    titles, cells = ([x.strip() for x in table[i].strip("|").split("|")] for i in (3, 5))
    found = dict(zip(titles, cells, strict=True))
    assert found["arm"] == "one"
    assert found["dormant, first layer"].startswith("25% (")
    assert found["dormant, last layer"].startswith("50% (")
    assert found["value, mean"].startswith("7.0 (")  # visits 6 and 7; seeds 6.5 and 7.5
    assert found["alpha"].startswith("+0.20 (")
    assert found["paid"].startswith("1.8 (")
