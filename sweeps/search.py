"""Which run comes next: all of a grid, or what a search of Ray Tune makes of those before."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from configs import Config
from sweeps.definition import Definition
from sweeps.expansion import Trial, expand, trials_of
from sweeps.spaces import Search, corners, draws, shorten


class Job(NamedTuple):
    """A run, and the step at which to ask again."""

    trial: Trial
    until: float


class Chooser(Protocol):
    """Hands out runs.

    Attributes:
        total: How many runs there will be.
        records: What it was told, as JSON; a chooser that is given them goes on from there, and
            hands out once more, first of all, what has ended.
    """

    total: int
    records: list[dict[str, Any]]

    def next(self) -> Job | None:
        """Returns what to do next; None if there is nothing now."""
        ...

    def paused(self) -> list[tuple[Trial, int, float | None]]:
        """Returns the runs that wait to be judged, with their steps and values."""
        ...

    def tell(self, name: str, step: int, value: float | None, *, ended: bool) -> None:
        """Takes what a run has come to when it ended, or at the step at which to ask."""
        ...


def make_chooser(definition: Definition, records: Sequence[dict[str, Any]] = ()) -> Chooser:
    """Returns what hands out the runs of a sweep, all of whose settings it has checked.

    Raises:
        ValueError: If a program would refuse settings.
        ImportError: If Ray or Optuna is needed and not installed.
    """
    search = definition.search
    if search is None:
        return Listed(expand(definition))
    if search.metric.startswith("evaluation.") and not definition.base.get("eval-every"):
        raise ValueError(f"metric {search.metric} needs `base.eval-every`")
    if search.method == "optuna":
        for i, settings in enumerate(corners(search)):
            _sample(definition, i, settings)
        return Optuna(definition, records)
    trials = [_sample(definition, i, point) for i, point in enumerate(draws(search))]
    if search.method != "asha":
        return Listed(trials)
    if any(isinstance(trial.config, Config) and not trial.config.save_replay for trial in trials):
        raise ValueError("`search.method: asha` lets runs wait, which needs `save-replay: true`")
    return Asha(search, trials, records)


def _sample(definition: Definition, number: int, settings: dict[str, Any]) -> Trial:
    parts = [f"{name.rpartition('.')[2]}={value}" for name, value in settings.items()]
    return trials_of(definition, ",".join([f"sample-{number:03d}", *parts]), settings)[0]


class Listed:
    """Runs that are known beforehand: a grid, or random samples."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.total, self.records = len(trials), []  # type: int, list[dict[str, Any]]
        self._waiting = deque(trials)

    def next(self) -> Job | None:
        return Job(self._waiting.popleft(), math.inf) if self._waiting else None

    def paused(self) -> list[tuple[Trial, int, float | None]]:
        return []

    def tell(self, name: str, step: int, value: float | None, *, ended: bool) -> None:
        pass


class Asha:
    """Asynchronous successive halving (Li et al., 1810.05934, algorithm 2).

    A run stops at each rung, ``grace_period * reduction_factor ** k`` steps, with all its state on
    the disk, and goes on if it is among the best of the rung.  Ray Tune's scheduler cannot let runs
    wait: it lets the first ones of each rung pass, with nothing to compare them to.

    Args:
        search: What was asked for.
        trials: The samples.
        records: Of an earlier sitting.
    """

    def __init__(
        self, search: Search, trials: Sequence[Trial], records: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.total, self.records = len(trials), []  # type: int, list[dict[str, Any]]
        self._first, self._factor = search.grace_period, search.reduction_factor
        self._sign = -1.0 if search.mode == "min" else 1.0
        self._trials = {trial.name: trial for trial in trials}
        self._rungs: list[dict[str, float]] = []  # score by name
        self._busy: set[str] = set()  # runs, or has ended
        self._values: dict[str, tuple[int, float | None]] = {}  # at the last rung
        self._last: dict[str, dict[str, Any]] = {}  # record of each run
        for record in records:
            self.tell(**record)
        self._ended = deque(name for name, record in self._last.items() if record["ended"])
        self._new = deque(trial for trial in trials if trial.name not in self._last)

    def next(self) -> Job | None:
        if self._ended:
            name = self._ended.popleft()
            return Job(self._trials[name], self._first * self._factor ** self._above(name))
        for k in reversed(range(len(self._rungs))):
            scores = self._rungs[k]
            best = sorted(scores, key=scores.__getitem__, reverse=True)
            above = set().union(*self._rungs[k + 1 :])  # one may have passed a rung unseen
            for name in best[: len(scores) // self._factor]:
                if name not in above and name not in self._busy:
                    self._busy.add(name)
                    return Job(self._trials[name], self._first * self._factor ** (k + 1))
        if not self._new:
            return None
        trial = self._new.popleft()
        self._busy.add(trial.name)
        return Job(trial, self._first)

    def tell(self, name: str, step: int, value: float | None, *, ended: bool) -> None:
        record = {"name": name, "step": step, "value": value, "ended": ended}
        if record != self._last.get(name):  # each sitting is told once more what has ended
            self.records.append(record)
            self._last[name] = record
        if ended:
            self._busy.add(name)
            return
        self._busy.discard(name)
        self._values[name] = step, value
        k = self._above(name) - 1
        self._rungs += [{} for _ in range(k + 1 - len(self._rungs))]
        self._rungs[k][name] = -math.inf if value is None else self._sign * value

    def paused(self) -> list[tuple[Trial, int, float | None]]:
        waiting = self._values.keys() - self._busy
        return [(self._trials[name], *self._values[name]) for name in sorted(waiting)]

    def _above(self, name: str) -> int:
        """The first rung that a run has not reached."""
        step, _ = self._values.get(name, (0, None))
        k = 0
        while self._first * self._factor**k <= step:
            k += 1
        return k


class Optuna:
    """Ray Tune's Optuna draws each sample from what those before have come to.

    Args:
        definition: The sweep.
        records: Of an earlier sitting.
    """

    def __init__(self, definition: Definition, records: Sequence[dict[str, Any]] = ()) -> None:
        import optuna
        from optuna.distributions import CategoricalDistribution, FloatDistribution
        from ray.tune.search.optuna import OptunaSearch

        search = definition.search
        assert search is not None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        space = {
            name: CategoricalDistribution(of)
            if kind == "choice"
            else FloatDistribution(of[0], of[1], log=kind == "loguniform")
            for name, (kind, of) in search.space.items()
        }
        self._definition = definition
        # Another seed in each sitting: the first draws of the last one are not drawn again.
        self._searcher: Any = OptunaSearch(
            space, metric="value", mode=search.mode, seed=search.seed + len(records)
        )
        self.total, self.records = search.num_samples, []  # type: int, list[dict[str, Any]]
        self._waiting: deque[Job] = deque()
        for record in records:
            trial = _sample(definition, len(self.records), record["settings"])
            self.records.append({**record, "asked": None})
            self._waiting.append(Job(trial, math.inf))

    def next(self) -> Job | None:
        if self._waiting:
            return self._waiting.popleft()
        number = len(self.records)
        if number == self.total:
            return None
        asked = str(number)
        drawn = self._searcher.suggest(asked)
        settings = {k: shorten(v) if isinstance(v, float) else v for k, v in drawn.items()}
        trial = _sample(self._definition, number, settings)
        self.records.append(
            {"name": trial.name, "settings": settings, "value": None, "ended": False}
            | {"asked": asked}
        )
        return Job(trial, math.inf)

    def paused(self) -> list[tuple[Trial, int, float | None]]:
        return []

    def tell(self, name: str, step: int, value: float | None, *, ended: bool) -> None:
        record = next(r for r in self.records if r["name"] == name)
        record |= {"value": value, "ended": ended}
        if record["asked"] is None:  # in an earlier sitting
            self._searcher.add_evaluated_point(record["settings"], value, error=value is None)
        else:
            result = {} if value is None else {"value": value}
            self._searcher.on_trial_complete(record["asked"], result, error=value is None)
