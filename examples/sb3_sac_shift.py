"""SAC in a pendulum whose gravity changes: python examples/sb3_sac_shift.py [steps].

Afterwards: tensorboard --logdir runs/sb3_sac_shift
"""

import sys

import gymnasium as gym
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.monitor import Monitor

from envs import Continual, EverySteps
from envs.dynamics import Parameter
from networks.sb3 import policy
from plasticity.sb3 import PlasticityCallback

torch.set_num_threads(1)  # the fastest for small networks
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 12_000
gravity = Parameter("g", [10.0, 20.0, 5.0])  # one value for each task, in turn
env = Continual(gym.make("Pendulum-v1"), EverySteps(steps // 3 or 1), [gravity])
model = SAC(
    policy("sac"),
    Monitor(env, info_keywords=("task",)),
    policy_kwargs={"activation": {"actor": "adalin-tanh", "critic": "adalin-relu"}},
    learning_rate=1e-3,
    tensorboard_log="runs/sb3_sac_shift",
    verbose=1,
    seed=0,
)
model.learn(steps, callback=PlasticityCallback(every=500, probe_size=256))
