import math
from pathlib import Path
from typing import Any

import pytest

from sweeps.definition import Definition, read_sweep
from sweeps.search import Asha, Chooser, make_chooser
from tests.sweeps.files import write

SPACE = "space: {dqn.learning-rate: {loguniform: [1e-5, 1e-2]}, activation: {choice: [relu, elu]}}"


def sweep(folder: Path, search: str, space: str = SPACE) -> Definition:
    return read_sweep(write(folder, f"program: train\nsearch: {{{search}, {space}}}\n"))


def names(chooser: Chooser) -> list[str]:
    found = []
    while (job := chooser.next()) is not None:
        found.append(job.trial.name)
    return found


def test_random_draws_follow_from_the_seed(tmp_path: Path) -> None:
    first = names(make_chooser(sweep(tmp_path, "num_samples: 10")))
    assert first == names(make_chooser(sweep(tmp_path, "num_samples: 10")))
    assert first != names(make_chooser(sweep(tmp_path, "num_samples: 10, seed: 1")))
    assert len(set(first)) == 10
    rates = [float(name.split("learning-rate=")[1].split(",")[0]) for name in first]
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    below = sum(rate < 10**-3.5 for rate in rates)  # half of them, on a logarithmic scale
    assert 2 < below < 8
    assert {name.split("activation=")[1].split(",")[0] for name in first} == {"relu", "elu"}


def test_a_space_may_be_used_up(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="should be at most 2: the space has no more. Received 3"):
        make_chooser(
            sweep(tmp_path, "num_samples: 3", "space: {activation: {choice: [relu, elu]}}")
        )


def test_a_metric_needs_what_measures_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs `base.eval-every`"):
        make_chooser(sweep(tmp_path, "num_samples: 1, metric: evaluation.average_performance"))


def asha(folder: Path, records: Any = (), mode: str = "max") -> Asha:
    space = "space: {dqn.tau: {choice: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}}"
    text = f"method: asha, num_samples: 9, grace_period: 10, reduction_factor: 3, mode: {mode}"
    chooser = make_chooser(sweep(folder, text, space), records)
    assert isinstance(chooser, Asha)
    return chooser


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_third_of_each_rung_goes_on(mode: str, tmp_path: Path) -> None:
    chooser = asha(tmp_path, mode=mode)
    seen: dict[str, float] = {}
    while (job := chooser.next()) is not None:
        seen[job.trial.name] = job.until
        value = job.trial.settings["dqn.tau"]
        # The last rung is the end of the run.
        ended = job.until == 90
        chooser.tell(job.trial.name, int(job.until), value, ended=ended)
    steps = {name.split("tau=")[1].split(",")[0]: until for name, until in seen.items()}
    best = "0.9" if mode == "max" else "0.1"
    assert steps[best] == 90
    assert len(steps) == 9
    # By algorithm 2: of k in a rung, k // 3 have gone on at any time.
    assert list(steps.values()).count(90) == sum(u > 10 for u in steps.values()) // 3


def test_where_it_was_after_a_restart(tmp_path: Path) -> None:
    chooser = asha(tmp_path)
    jobs = [chooser.next() for _ in range(4)]
    for value, job in enumerate(jobs[:3]):
        assert job is not None
        chooser.tell(job.trial.name, 10, float(value), ended=False)
    assert jobs[2] is not None
    assert jobs[3] is not None
    again = asha(tmp_path, chooser.records)
    following = again.next()
    assert following is not None
    assert (following.trial.name, following.until) == (jobs[2].trial.name, 30)
    assert again.paused() == [(job.trial, 10, float(i)) for i, job in enumerate(jobs[:2]) if job]
    following = again.next()  # of it nothing is known but its folder
    assert following is not None
    assert (following.trial.name, following.until) == (jobs[3].trial.name, 10)


def test_no_value_yet_is_the_worst_and_failures_never_go_on(tmp_path: Path) -> None:
    chooser = asha(tmp_path)
    jobs = [chooser.next() for _ in range(9)]
    for i, job in enumerate(jobs):
        assert job is not None
        if i == 8:
            chooser.tell(job.trial.name, 3, None, ended=True)
        else:
            chooser.tell(job.trial.name, 10, None if i else 0.5, ended=False)
    following = chooser.next()
    assert following is not None
    assert jobs[0] is not None
    assert following.trial.name == jobs[0].trial.name


def test_what_has_ended_is_recorded_once_however_often_it_is_told(tmp_path: Path) -> None:
    chooser = asha(tmp_path)
    for step, ended in ((10, False), (30, False), (90, True)):
        chooser.tell("a", step, 1.0, ended=ended)
    for _ in range(3):  # sittings
        chooser.tell("a", 90, 1.0, ended=True)
    assert [record["step"] for record in chooser.records] == [10, 30, 90]


def test_a_failure_that_was_made_good_is_no_end(tmp_path: Path) -> None:
    chooser = asha(tmp_path)
    jobs = [job for _ in range(3) if (job := chooser.next())]
    for value, job in enumerate(jobs):
        chooser.tell(job.trial.name, 10, float(value), ended=False)
    worst, best = jobs[0].trial.name, jobs[2].trial.name
    chooser.tell(worst, 0, None, ended=True)
    failed = asha(tmp_path, chooser.records)
    job = failed.next()  # it may have been the disk
    assert job is not None
    assert (job.trial.name, job.until) == (worst, 30)
    job = failed.next()  # the best of three, and not the one that runs
    assert job is not None
    assert (job.trial.name, job.until) == (best, 30)
    failed.tell(worst, 30, 0.0, ended=False)
    again = asha(tmp_path, failed.records)
    job = again.next()
    assert job is not None
    assert job.trial.name == best


def test_a_rung_may_be_passed_unseen(tmp_path: Path) -> None:
    chooser = asha(tmp_path)
    jobs = [job for _ in range(3) if (job := chooser.next())]
    for value, job in enumerate(jobs):
        chooser.tell(job.trial.name, 10, float(value), ended=False)
    best = chooser.next()
    assert best is not None
    assert (best.trial.name, best.until) == (jobs[2].trial.name, 30)
    chooser.tell(best.trial.name, 95, 2.0, ended=False)  # looks are rare
    following = chooser.next()
    assert following is not None
    assert following.trial.name not in {job.trial.name for job in jobs}


def test_runs_that_wait_need_their_replay(tmp_path: Path) -> None:
    text = """
program: train
base: {save-replay: false}
search: {method: asha, num_samples: 2, grace_period: 10, space: {dqn.tau: {choice: [0.1, 0.2]}}}
"""
    with pytest.raises(ValueError, match="`search.method: asha` .* needs `save-replay: true`"):
        make_chooser(read_sweep(write(tmp_path, text)))
    make_chooser(
        read_sweep(
            write(tmp_path, text.replace("asha", "random").replace("grace_period: 10, ", ""))
        )
    )


def test_optuna_learns_from_those_before_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `sweep` is not installed")
    pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
    text = "method: optuna, num_samples: 30, mode: max"
    space = "space: {dqn.tau: {uniform: [0.1, 0.9]}}"
    chooser = make_chooser(sweep(tmp_path, text, space))
    taus: list[float] = []
    for i in range(30):
        if i == 15:
            chooser = make_chooser(sweep(tmp_path, text, space), chooser.records)
            for tau in taus:  # what has ended comes once more, and is known already
                job = chooser.next()
                assert job is not None
                assert job.trial.settings["dqn.tau"] == tau
                chooser.tell(job.trial.name, 1, -abs(tau - 0.7), ended=True)
        job = chooser.next()
        assert job is not None
        assert job.until == math.inf
        taus.append(job.trial.settings["dqn.tau"])
        chooser.tell(job.trial.name, 1, -abs(taus[-1] - 0.7), ended=True)
    assert chooser.next() is None
    far = [sum(abs(tau - 0.7) for tau in part) for part in (taus[:10], taus[-10:])]
    assert far[1] < 0.7 * far[0]


def test_optuna_gives_back_what_was_running(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `sweep` is not installed")
    pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
    text = "method: optuna, num_samples: 3"
    chooser = make_chooser(sweep(tmp_path, text))
    one, two = chooser.next(), chooser.next()
    assert one is not None
    assert two is not None
    chooser.tell(one.trial.name, 1, None, ended=True)  # it has failed
    again = make_chooser(sweep(tmp_path, text), chooser.records)
    for job in (one, two):
        following = again.next()
        assert following is not None
        assert following.trial == job.trial
    assert len(names(again)) == 1
