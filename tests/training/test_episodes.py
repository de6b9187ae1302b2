"""Episodes: returns and lengths of each seed, by hand."""

from typing import Any

import numpy as np

from training.episodes import Episodes
from training.summary import Summary


class Rows:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def episode(self, *row: Any) -> None:
        self.rows.append(row)


def test_each_episode_goes_to_its_seed_and_task() -> None:
    episodes, summary, rows = Episodes(2, 2), Summary([5, 6]), Rows()
    summary.begin(3, 0, start=0)
    summary.begin(4, 1, start=2)
    told: Any = rows

    def count(step: int, reward: list[float], ended: list[int], **final: list[int]) -> None:
        infos = {"final_info": {name: np.array(of) for name, of in final.items()}}
        flags = np.isin(np.arange(4), ended)
        episodes.count(step, np.array(reward), flags, infos, summary, told)

    task, visit = [3, 3, 4, 4], [0, 0, 1, 1]
    count(2, [1.0, 2.0, 4.0, 8.0], [])
    count(4, [1.5, 2.0, 4.0, 8.0], [0, 2], task=task, visit=visit, cut=[0, 0, 0, 0])
    count(6, [0.5, 0.5, 0.5, 0.5], [1, 2, 3], task=task, visit=visit, cut=[0, 0, 0, 1])
    assert rows.rows == [
        (4, 0, 3, 0, 2.5, 2),
        (4, 1, 4, 1, 8.0, 2),
        (6, 0, 3, 0, 4.5, 3),
        (6, 1, 4, 1, 0.5, 1),
    ]
    assert summary.find(3, 0).episodes == [[(4, 2.5, 2), (6, 4.5, 3)], []]
    assert summary.find(4, 1).episodes == [[], [(4, 8.0, 2), (6, 0.5, 1)]]
    assert summary.now.end == 6
    assert episodes.state_dict() == {"return": [0.5, 0.0, 0.0, 0.0], "length": [1, 0, 0, 0]}


def test_what_runs_is_taken_over_also_from_older_versions() -> None:
    episodes = Episodes(2, 1)
    episodes.load_state_dict({"return": [[1.5], [2.0]], "length": [[3], [4]]})
    state = {"return": [1.5, 2.0], "length": [3, 4]}
    assert episodes.state_dict() == state
    other = Episodes(2, 1)
    other.load_state_dict(state)
    assert other.state_dict() == state
    other.cut()
    assert other.state_dict() == {"return": [0.0, 0.0], "length": [0, 0]}
    assert episodes.state_dict() == state
