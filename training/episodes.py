"""Returns of the episodes that run in all environments."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.summary import Summary
from training.tracking import Tracker


class Episodes:
    """Adds up rewards, and hands each complete episode to the summary and the tracker.

    Args:
        num_seeds: Number of seeds S.
        num_envs: Number of environments N for each seed.
    """

    def __init__(self, num_seeds: int, num_envs: int) -> None:
        self.shape = (num_seeds, num_envs)
        self._return, self._length = np.zeros(self.shape), np.zeros(self.shape, int)

    def cut(self) -> None:
        """Forgets the episodes that run: they end here, and their returns say nothing."""
        self._return[:], self._length[:] = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        """Returns what has been added up."""
        return {"return": self._return.tolist(), "length": self._length.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that ``state_dict`` returned."""
        self._return[:], self._length[:] = state["return"], state["length"]

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
        self._return += reward.reshape(self.shape)
        self._length += 1
        summary.now.end = step
        if not ended.any():
            return
        final = infos.get("final_info", {})
        nothing = np.zeros(len(ended), int)
        cut, task, visit = (
            np.asarray(final.get(name, nothing)).reshape(self.shape)
            for name in ("cut", "task", "visit")
        )
        for s, n in np.argwhere(ended.reshape(self.shape)):
            if not cut[s, n]:  # the return of a cut episode says nothing
                ret, length = float(self._return[s, n]), int(self._length[s, n])
                # Tasks may wait for the end of an episode: it belongs to the one it was played in.
                of = summary.find(int(task[s, n]), int(visit[s, n]))
                of.episodes[s].append((step, ret, length))
                tracker.episode(step, int(s), of.task, of.visit, ret, length)
            self._return[s, n], self._length[s, n] = 0.0, 0
