"""The loop, with workers that need no Ray."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.board import Board, open_before
from sweeps.cluster import LOST
from sweeps.definition import Definition, read_sweep
from sweeps.driver import Driver
from sweeps.search import Job, make_chooser
from sweeps.storage import Folder
from sweeps.trial import Outcome
from tests.sweeps.files import TINY, Inline, write

FOUR = TINY + "grid: {learning-rate: [0.1, 0.2, 0.3, 0.4]}\n"


class Sitting:
    """One driver over a folder."""

    def __init__(self, folder: Path, workers: Inline, text: str = FOUR) -> None:
        self.folder, self.workers = folder, workers
        self.definition: Definition = read_sweep(write(folder, text))
        storage = Folder(folder / "out")
        chooser = make_chooser(
            self.definition, open_before(self.definition, storage, str(folder / "out"))
        )
        self.console = Console(record=True, width=200, quiet=False, force_terminal=False)
        self.board = Board(self.definition, storage, self.console)
        self.driver = Driver(chooser, self.board, storage, workers, None)

    def stored(self) -> dict[str, str]:
        content = json.loads((self.folder / "out" / "sweep.json").read_text())
        return {t["name"].split(",")[0]: t["status"] for t in content["trials"]}


def rate(job: Job) -> float:
    return float(job.trial.settings["learning-rate"])


def done(job: Job) -> Outcome:
    return Outcome("done", 4, rate(job))


def finish(folder: Path, job: Job) -> Outcome:
    """Leaves what a run leaves that is done."""
    run = folder / "out" / job.trial.name
    run.mkdir(parents=True, exist_ok=True)
    summary = {"finished": True, "steps": 4, "average_online_accuracy": {"mean": rate(job)}}
    (run / "summary.json").write_text(json.dumps(summary))
    return done(job)


def test_all_runs_as_many_at_once_as_fit(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path, Inline(done, slots=3))
    assert sitting.driver.run() == 0
    assert sitting.workers.at_once == 3
    assert len(set(sitting.workers.seen)) == len(sitting.workers.seen) == 4
    assert set(sitting.stored().values()) == {"done"}
    assert sitting.board.line().startswith(
        "4/4 done, 0 running, best average_online_accuracy 0.4 (learning-rate=0.4"
    )
    again = Sitting(tmp_path, Inline(done))
    again.driver.most = 1
    assert again.driver.run() == 0
    assert again.workers.at_once == 1


def test_one_that_fails_does_not_stop_the_rest(tmp_path: Path) -> None:
    def work(job: Job) -> Outcome:
        return Outcome("failed", error="ValueError: no") if rate(job) == 0.2 else done(job)

    sitting = Sitting(tmp_path, Inline(work))
    assert sitting.driver.run() == 1
    assert Counter(sitting.stored().values()) == {"done": 3, "failed": 1}
    assert "failed: learning-rate=0.2,seed=0" in sitting.console.export_text()


@pytest.mark.parametrize(("line", "tried"), [("NonFiniteError: x", 3), ("OSError: full", 4)])
def test_the_next_sitting_tries_what_may_go_better(line: str, tried: int, tmp_path: Path) -> None:
    first = Sitting(tmp_path, Inline(done))
    name = next(iter(first.driver.chooser._waiting)).name  # type: ignore[attr-defined]
    failed = tmp_path / "out" / "failed" / name
    failed.parent.mkdir(parents=True)
    failed.write_text(line + "\n")
    assert first.driver.run() == (1 if tried == 3 else 0)
    assert len(first.workers.seen) == tried


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    calls = 0

    def work(job: Job) -> Outcome:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("as if the driver had died")
        return finish(tmp_path, job)

    with pytest.raises(RuntimeError):
        Sitting(tmp_path, Inline(work)).driver.run()
    second = Sitting(tmp_path, Inline(done))
    assert second.driver.run() == 0
    assert len(second.workers.seen) == 2
    best = second.board.best()
    assert best is not None
    assert best[1] == 0.4
    assert second.board.count() == {"done": 4}


def test_a_lost_run_goes_on_until_it_is_hopeless(tmp_path: Path) -> None:
    deaths: Counter[str] = Counter()

    def work(job: Job) -> Outcome:
        name = job.trial.name
        deaths[name] += 1
        if rate(job) == 0.1 and deaths[name] < 8:  # it gets on a little each time
            (tmp_path / "out" / name / "checkpoint" / str(deaths[name])).mkdir(parents=True)
            return Outcome(LOST, error="WorkerCrashedError")
        if rate(job) == 0.2:
            return Outcome(LOST, error="OutOfMemoryError")
        return done(job)

    sitting = Sitting(tmp_path, Inline(work))
    assert sitting.driver.run() == 1
    assert sorted(deaths.values()) == [1, 1, 3, 8]
    stored = sitting.stored()
    assert stored.pop("learning-rate=0.2") == "failed"
    assert set(stored.values()) == {"done"}
    (line,) = ((file).read_text() for file in (tmp_path / "out" / "failed").iterdir())
    assert line.startswith("OutOfMemoryError: the process ended 3 times without a new checkpoint")
    assert "it goes on from step 7" in sitting.console.export_text()


def test_a_signal_to_a_machine_is_not_the_end_of_its_run(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def work(job: Job) -> Outcome:
        seen[job.trial.name] += 1
        return Outcome("stopped", 2) if seen[job.trial.name] == 1 else done(job)

    sitting = Sitting(tmp_path, Inline(work))
    assert sitting.driver.run() == 0
    assert set(seen.values()) == {2}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_to_the_sweep_lets_runs_save(number: int, code: int, tmp_path: Path) -> None:
    def work(job: Job) -> Outcome:
        signal.raise_signal(number)
        workers.work = lambda job: Outcome("stopped", 2)
        return finish(tmp_path, job)

    workers = Inline(work)
    sitting = Sitting(tmp_path, workers)
    assert sitting.driver.run() == code
    assert len(workers.seen) == 2
    assert list(sitting.stored().values()) == ["done", "stopped"]
    assert Sitting(tmp_path, Inline(done)).driver.run() == 0


def test_halving_ends_most_runs_early_and_goes_on_after_a_death(tmp_path: Path) -> None:
    text = TINY + (
        "search: {method: asha, num_samples: 9, grace_period: 1, reduction_factor: 3, "
        "space: {learning-rate: {uniform: [0.1, 0.9]}}}\n"
    )
    steps: Counter[str] = Counter()
    calls = 0

    def work(job: Job) -> Outcome:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("as if the driver had died")
        steps[job.trial.name] = int(min(job.until, 4))
        if job.until > 4:
            return finish(tmp_path, job)
        return Outcome("stopped", int(job.until), rate(job))

    with pytest.raises(RuntimeError):
        Sitting(tmp_path, Inline(work), text).driver.run()
    sitting = Sitting(tmp_path, Inline(work), text)
    assert sitting.driver.run() == 0
    assert len(steps) == 9
    count = sitting.board.count()
    assert count["halted"] + count["done"] == 9
    assert 1 <= count["done"] <= 2
    best = sitting.board.best()
    assert best is not None
    assert best[1] == max(float(t["value"]) for t in sitting.driver.chooser.records)


def test_where_all_were_halted_the_best_came_furthest(tmp_path: Path) -> None:
    text = TINY + (
        "search: {method: asha, num_samples: 3, grace_period: 1, reduction_factor: 3, "
        "space: {learning-rate: {choice: [0.1, 0.2, 0.3]}}}\n"
    )
    sitting = Sitting(
        tmp_path, Inline(lambda job: Outcome("stopped", int(job.until), -rate(job))), text
    )
    board = sitting.board
    assert board.best() is None
    assert sitting.driver.run() == 0
    assert board.count() == {"halted": 3}
    steps = {row.step: row.value for row in board.rows.values()}
    best = board.best()
    assert best is not None
    assert best[1] == steps[3] == -0.1
    assert json.loads((tmp_path / "out/sweep.json").read_text())["best"]["value"] == -0.1
    name, row = next(iter(board.rows.items()))
    row.status, row.value = "done", -9.0
    assert board.best() == (name, -9.0)


def test_another_sweep_is_refused_with_the_difference(tmp_path: Path) -> None:
    Sitting(tmp_path, Inline(done)).driver.run()
    with pytest.raises(ValueError, match=".") as error:
        Sitting(tmp_path, Inline(done), FOUR.replace("0.4", "0.5"))
    assert "out holds another sweep (grid.learning-rate: [0.1, 0.2, 0.3, 0.4] -> " in str(
        error.value
    )
    Sitting(tmp_path, Inline(done), FOUR + "resources: {cpu: 2}\n")  # where it runs is free
    (tmp_path / "out" / "sweep.json").write_text("[]")
    with pytest.raises(ValueError, match="sweep.json is not of a sweep"):
        Sitting(tmp_path, Inline(done))


def test_the_table_shows_what_runs(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path, Inline(done))
    for i in range(4):
        job = sitting.driver.chooser.next()
        assert job is not None
        sitting.board.set(job.trial, "running" if i else "done", value=0.5)
    console = Console(record=True, width=200)
    console.print(sitting.board.table())
    text = console.export_text()
    assert "1/4 done, 3 running, best average_online_accuracy 0.5" in text
    assert text.count(" s") >= 3
