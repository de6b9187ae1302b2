"""Accuracies of a run: means and slopes by hand, and what the table shows."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from training.accuracy import Accuracies, Meter


def accuracies(online: list[list[float]]) -> Accuracies:
    result = Accuracies([3, 4])
    for task, values in enumerate(online):
        result.begin(task, 0, 10 * task)
        result.now.online = values
    return result


def test_average_and_slope_by_hand() -> None:
    result = accuracies([[0.5, 0.2], [0.4, 0.4], [0.3, 0.6]])
    assert result.average() == pytest.approx([0.4, 0.4])
    assert result.slope() == pytest.approx([-0.1, 0.2])
    result.begin(3, 0, 30)  # a task that runs does not count
    assert result.average() == pytest.approx([0.4, 0.4])
    assert result.as_dict()["tasks"][3]["accuracy/online"]["mean"] is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_the_slope_is_that_of_numpy(values: list[float]) -> None:
    result = accuracies([[value, 1 - value] for value in values])
    expected = np.polyfit(np.arange(len(values)), values, 1)[0]
    assert result.slope() == pytest.approx([expected, -expected], abs=1e-9)


def test_too_few_tasks_have_no_slope() -> None:
    assert all(math.isnan(x) for x in accuracies([]).average())
    assert all(math.isnan(x) for x in accuracies([[0.1, 0.2]]).slope())


def test_a_long_table_shows_the_first_and_the_last_task() -> None:
    result = accuracies([[0.1, 0.3]] * 100)
    output = io.StringIO()
    Console(file=output, width=200).print(result.table())
    shown = [line.split("│")[1].strip() for line in output.getvalue().splitlines() if "│" in line]
    assert len(shown) == 20
    assert (shown[0], shown[-1]) == ("0", "99")


def test_states_come_back() -> None:
    result = accuracies([[0.5, 0.2], [0.4, 0.4]])
    other = Accuracies([3, 4])
    other.load_state_dict(result.state_dict())
    assert other == result


def test_the_meter_has_two_means() -> None:
    meter = Meter(2, torch.device("cpu"))
    meter.add(torch.tensor([0.0, 1.0]))
    assert meter.recent().tolist() == [0.0, 1.0]
    meter.add(torch.tensor([1.0, 0.5]))
    other = Meter(2, torch.device("cpu"))
    other.load_state_dict(meter.state_dict())
    assert other.recent().tolist() == [1.0, 0.5]
    assert other.task().tolist() == [0.5, 0.75]
    other.add(torch.tensor([0.25, 0.25]))
    assert other.task().tolist() == [0.25, 0.25]
