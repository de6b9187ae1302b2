"""The saved states of a run: the last two, and how to go on from the newest sound one."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from agents import Replay
from agents.saving import DamagedError, load, save, saved
from training.replay_log import ReplayLog

KEPT = 2
FAILED = "failed"
"""Name of a state that nobody goes on from: the one in which numbers were not finite."""
_MISFITS = (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError)
"""What may be raised by a state that was sound when it was saved, but of something else."""


class Saved(NamedTuple):
    """What a save cost: bytes of the state without the replay, and seconds of waiting."""

    bytes: int
    seconds: float


def forget_unsaved(run_dir: Path) -> None:
    """Lets a run begin again that an error has ended before it had saved a state.

    One that was killed then does so anyway.  By hand it is refused: the states of a run that came
    far may have been removed.
    """
    summary = run_dir / "summary.json"
    if saved(run_dir / "checkpoint") or not summary.exists():
        return
    if not json.loads(summary.read_text())["finished"]:
        summary.unlink()


class Checkpoints:
    """Saves and loads the state of a run in ``<run_dir>/checkpoint``.

    A state is a folder named after its step; ``replay/`` beside it has the rows of the replay.

    Args:
        run_dir: Folder of the run.
        replay: The replay, to be saved with each state; None: nothing is.
        whole: Whether a state, with these rows, is all that a run goes on from.
    """

    def __init__(self, run_dir: Path, replay: Replay | None, *, whole: bool = True) -> None:
        self.folder, self.whole = run_dir / "checkpoint", whole
        self.log = None if replay is None else ReplayLog(self.folder / "replay", replay)
        self._files: dict[int, list[dict[str, Any]]] = {}  # of the replay, by step

    def save(self, step: int, state: Callable[[], dict[str, Any]]) -> Saved:
        """Saves a state; the one before the last is deleted only then.

        Raises:
            OSError: If the disk did not take it; those that were there are as they were.
        """
        begin = time.perf_counter()
        files = self.log.complete() if self.log else []
        listed = {"saved": self.whole, "files": files}
        size = save(self.folder / str(step), {**state(), "replay_files": listed})
        self._files[step] = files
        for old in sorted(self._files)[:-KEPT]:
            del self._files[old]
        with contextlib.suppress(OSError):  # what is too much is deleted another time
            for path in saved(self.folder):
                if int(path.name) not in self._files:
                    shutil.rmtree(path)
            if self.log:
                self.log.prune(*self._files.values())
        return Saved(size, time.perf_counter() - begin)

    def save_failed(self, state: dict[str, Any]) -> None:
        """Saves a state to look at, not to go on from."""
        save(self.folder / FAILED, state)

    def load(self, take: Callable[[dict[str, Any]], None]) -> list[str]:
        """Goes to the newest sound state.

        Args:
            take: Takes over a state, before the rows of the replay are put back.

        Returns:
            A line for each newer state that is damaged.

        Raises:
            DamagedError: If there are states, but none is sound.
            ValueError: If a state was saved without the replay.
        """
        problems: list[str] = []
        for path in saved(self.folder):
            try:
                state = load(path)
                listed = state["replay_files"]
                files = list(listed["files"])
                if listed["saved"] and self.whole:
                    take(state)
                    if self.log:
                        self.log.restore(files)
            except DamagedError as error:
                problems.append(str(error))
                continue
            except _MISFITS as error:
                problem = " ".join(f"{type(error).__name__}: {error}".split())
                raise ValueError(f"{path} is not a state of this run: {problem}") from error
            if not (listed["saved"] and self.whole):
                raise ValueError(
                    f"the run in {self.folder.parent} was saved without its replay "
                    "(--no-save-replay): it cannot go on"
                )
            self._files = {int(path.name): files}
            return problems
        raise DamagedError(
            f"no checkpoint in {self.folder} is sound: {'; '.join(problems)}. Delete the run "
            "directory to begin again"
        )

    def exist(self) -> bool:
        """Whether there is a saved state, sound or not."""
        return bool(saved(self.folder))

    def close(self) -> None:
        """Ends the thread that writes."""
        if self.log:
            self.log.close()
