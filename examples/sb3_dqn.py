"""stable-baselines3's DQN with AdaLin in its Q-network: python examples/sb3_dqn.py [steps]."""

import sys

import torch
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from networks.sb3 import DQNMlpPolicy

torch.set_num_threads(1)  # the fastest for small networks
env = make_vec_env("CartPole-v1", seed=0)
model = DQN(
    DQNMlpPolicy,
    env,
    policy_kwargs={"activation": "adalin-relu", "net_arch": [256, 256]},
    learning_rate=2.3e-3,
    batch_size=64,
    target_update_interval=10,
    train_freq=256,
    gradient_steps=128,
    exploration_fraction=0.16,
    exploration_final_eps=0.04,
    learning_starts=1_000,
    seed=0,
)
print(model.policy.q_net)
model.learn(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
mean, std = evaluate_policy(model, env, n_eval_episodes=10)
print(f"return of 10 greedy episodes: {mean:.0f} +- {std:.0f}")
model.save("runs/sb3_dqn")
