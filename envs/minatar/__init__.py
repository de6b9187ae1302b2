"""MinAtar (Young and Tian 2019): five games of Atari in 10 x 10 cells."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import gymnasium as gym
import numpy as np

GAMES = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")


class MinAtar(gym.Env[Any, Any]):
    """One game, as bytes (C, 10, 10) that are 0 or 255, with all six actions.

    Args:
        game: One of ``GAMES``.
        sticky: Probability that the last action is repeated instead.
        ramping: Whether the game grows harder with time.
        render_mode: ``"rgb_array"``: ``render`` gives a picture, a colour for each channel.

    Raises:
        ValueError: If there is no such game, or ``sticky`` is no probability.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        game: str,
        *,
        sticky: float = 0.1,
        ramping: bool = True,
        render_mode: str | None = None,
    ) -> None:
        check_game(game)
        if not 0 <= sticky <= 1:
            raise ValueError(f"`sticky` should be between 0 and 1. Received {sticky}")
        self.render_mode = render_mode
        import minatar

        name = "space_invaders" if game == "SpaceInvaders" else game.lower()
        self.game = minatar.Environment(name, sticky_action_prob=sticky, difficulty_ramping=ramping)
        shape = (self.game.n_channels, 10, 10)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gym.spaces.Discrete(6)
        self._seed_game()

    def _seed_game(self) -> None:
        self.game.seed(int(self.np_random.integers(2**32)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._seed_game()
        self.game.last_action = 0  # the game keeps it over episodes, so the past would stick
        self.game.reset()
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward, terminated = self.game.act(int(action))
        return self._observe(), float(reward), bool(terminated), False, {}

    def render(self) -> Any:
        state = self.game.state()  # (10, 10, C)
        hue = np.arange(state.shape[-1])[:, None] * [83, 151, 211] % 200 + 55  # (C, 3)
        colours = (state[..., None] * hue).max(2).astype(np.uint8)  # (10, 10, 3)
        return colours.repeat(16, 0).repeat(16, 1)

    def _observe(self) -> Any:
        return self.game.state().transpose(2, 0, 1) * np.uint8(255)


def check_game(game: str) -> None:
    """Raises a ValueError with the nearest name if there is no such game."""
    if game not in GAMES:
        near = get_close_matches(game, GAMES, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(GAMES)}."
        raise ValueError(f"there is no MinAtar game {game!r}. {hint}")
