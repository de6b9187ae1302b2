"""How many updates one call does."""

import pytest

import configs
from agents import AGENTS
from envs import make
from training.together import MOST, together


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", 1),  # a turn has one
        ("--dqn.learn-every 2", 2),
        ("--dqn.learn-every 2 --dqn.replay-ratio 0.5", 1),
        ("--num-envs 3", 3),
        ("--num-envs 2 --dqn.learn-every 3", 3),
        ("--dqn.replay-ratio 16", MOST),
        ("--dqn.learn-every 4 --total-steps 100_000", 1),  # compiling would not pay
        ("--dqn.learn-every 4 --num-seeds 10", 1),  # large updates
        ("--dqn.learn-every 4 --dqn.hidden 256 256", 1),
    ],
)
def test_small_updates_of_long_runs_go_together(flags: str, expected: int) -> None:
    given = f"--env CartPole-v1 --dqn.replay-ratio 1 --total-steps 500_000 {flags}"
    config = configs.parse(given.split())
    env = make(config.env)
    agent = AGENTS["dqn"](env.observation_space, env.action_space, config.seeds, config.dqn)
    assert together(config, agent.learners()) == expected
