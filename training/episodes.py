"""Returns of the episodes that run in all environments."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.summary import Summary
from training.tracking import Tracker


class Episodes:
    """Adds up rewards, and hands each complete episode to the summary and the tracker.

    In lists, as the numbers are few: sums of such small arrays take longer.

    Args:
        num_seeds: Number of seeds S.
        num_envs: Number of environments N for each seed.
    """

    def __init__(self, num_seeds: int, num_envs: int) -> None:
        self.num_envs = num_envs
        self._return, self._length = [0.0] * num_seeds * num_envs, [0] * num_seeds * num_envs

    def cut(self) -> None:
        """Forgets the episodes that run: they end here, and their returns say nothing."""
        self._return, self._length = [0.0] * len(self._return), [0] * len(self._length)

    def state_dict(self) -> dict[str, Any]:
        """Returns what has been added up."""
        return {"return": list(self._return), "length": list(self._length)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        # Older versions kept a list for each seed.
        self._return = np.ravel(state["return"]).tolist()
        self._length = np.ravel(state["length"]).tolist()

    def count(
        self,
        step: int,
        reward: Any,
        ended: Any,
        infos: dict[str, Any],
        summary: Summary,
        tracker: Tracker,
    ) -> None:
        """Counts one step of all environments; arrays are ``(S * N,)``."""
        self._return = [ret + r for ret, r in zip(self._return, reward.tolist(), strict=True)]
        self._length = [length + 1 for length in self._length]
        summary.now.end = step
        if not np.count_nonzero(ended):
            return
        final = infos.get("final_info", {})
        nothing = np.zeros(len(ended), int)
        cut, task, visit = (final.get(name, nothing) for name in ("cut", "task", "visit"))
        for i in np.flatnonzero(ended).tolist():
            if not cut[i]:  # the return of a cut episode says nothing
                seed, ret, length = i // self.num_envs, self._return[i], self._length[i]
                # Tasks may wait for the end of an episode: it belongs to the one it was played in.
                of = summary.find(int(task[i]), int(visit[i]))
                of.episodes[seed].append((step, ret, length))
                tracker.episode(step, seed, of.task, of.visit, ret, length)
            self._return[i], self._length[i] = 0.0, 0
