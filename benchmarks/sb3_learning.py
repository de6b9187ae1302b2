"""Do stock SB3 algorithms learn with AdaLin policies? Beside SB3's own policies, the same settings.

    python benchmarks/sb3_learning.py --jobs 2 > docs/sb3.md

The settings are those of the RL Zoo for these environments, with fewer steps. Each cell is the mean
return of 20 greedy evaluation episodes after training, for each seed.
"""

from __future__ import annotations

import argparse
import platform
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import gymnasium as gym
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise

from networks.sb3 import policy

SEEDS = (0, 1, 2)
# name: environment, activation of both, steps, environments, settings
RUNS: dict[str, tuple[str, str, int, int, dict[str, Any]]] = {
    "dqn": (
        "CartPole-v1",
        "relu",
        50_000,
        1,
        dict(
            learning_rate=2.3e-3,
            batch_size=64,
            buffer_size=100_000,
            learning_starts=1_000,
            target_update_interval=10,
            train_freq=256,
            gradient_steps=128,
            exploration_fraction=0.16,
            exploration_final_eps=0.04,
        ),
    ),
    "sac": ("Pendulum-v1", "relu", 8_000, 1, dict(learning_rate=1e-3)),
    "td3": (
        "Pendulum-v1",
        "relu",
        10_000,
        1,
        dict(
            learning_rate=1e-3,
            gamma=0.98,
            learning_starts=1_000,
            buffer_size=200_000,
            train_freq=1,
            gradient_steps=1,
            action_noise=NormalActionNoise([0.0], [0.1]),  # type: ignore[arg-type]  # np.asarray
        ),
    ),
    "ppo": (
        "CartPole-v1",
        "tanh",
        100_000,
        8,
        dict(
            n_steps=32,
            batch_size=256,
            gae_lambda=0.8,
            gamma=0.98,
            n_epochs=20,
            ent_coef=0.0,
            learning_rate=1e-3,
        ),
    ),
}
NET = {"dqn": [256, 256]}


def train(name: str, activation: str | None, seed: int) -> float:
    """Trains once; ``None`` is SB3's own policy. Returns the mean return of 20 episodes."""
    torch.set_num_threads(1)
    env_id, _, steps, num_envs, settings = RUNS[name]
    options: dict[str, Any] = {"net_arch": NET[name]} if name in NET else {}
    if activation is not None:
        options["activation"] = activation
    model = getattr(sb3, name.upper())(
        "MlpPolicy" if activation is None else policy(name),
        make_vec_env(env_id, num_envs, seed=seed),
        seed=seed,
        device="cpu",
        policy_kwargs=options,
        **settings,
    )
    model.learn(steps)
    env = gym.make(env_id)
    env.reset(seed=1_000 + seed)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=20, warn=False)
    return float(mean)  # type: ignore[arg-type]  # the mean, as no lists were asked for


def main() -> None:
    """Trains everything and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    jobs: int = parser.parse_args().jobs
    cells = {
        (name, activation): [0.0] * len(SEEDS)
        for name, (_, base, *_) in RUNS.items()
        for activation in (None, f"adalin-{base}")
    }
    with ProcessPoolExecutor(jobs) as pool:
        futures = {
            (key, i): pool.submit(train, *key, seed)
            for key in cells
            for i, seed in enumerate(SEEDS)
        }
        for (key, i), future in futures.items():
            cells[key][i] = future.result()
    print("# stable-baselines3 with AdaLin policies\n")
    print(f"Made by `python benchmarks/sb3_learning.py --jobs {jobs}`: mean return of 20 greedy")
    print(f"episodes after training, seeds {', '.join(map(str, SEEDS))}.")
    print(
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, SB3 {sb3.__version__}."
    )
    print("\n| algorithm | environment | steps | policy | returns of the seeds | mean |")
    print("|---|---|---|---|---|---|")
    for (name, activation), returns in cells.items():
        env_id, base, steps, *_ = RUNS[name]
        label = f"SB3's own ({base})" if activation is None else activation
        seeds = ", ".join(f"{value:.0f}" for value in returns)
        mean = sum(returns) / len(returns)
        print(f"| {name.upper()} | {env_id} | {steps:,} | {label} | {seeds} | {mean:.0f} |")


if __name__ == "__main__":
    main()
