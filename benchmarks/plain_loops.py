"""DQN and SAC as one plain loop each, as a reader of a single-file library would write them.

No abstraction, eager PyTorch, one environment: the speed of what people copy and change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Dense layers with ReLU between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Buffer:
    """A ring of transitions in NumPy."""

    def __init__(self, size: int, obs: int, action: tuple[int, ...], dtype: Any) -> None:
        self.obs, self.next = (np.zeros((size, obs), np.float32) for _ in range(2))
        self.action = np.zeros((size, *action), dtype)
        self.reward, self.done = (np.zeros(size, np.float32) for _ in range(2))
        self.at = 0

    def add(self, *transition: Any) -> None:
        row = self.at % len(self.obs)
        stores = (self.obs, self.next, self.action, self.reward, self.done)
        for store, value in zip(stores, transition, strict=True):
            store[row] = value
        self.at += 1

    def sample(self, batch: int, device: str) -> list[Tensor]:
        index = np.random.randint(min(self.at, len(self.obs)), size=batch)
        stores = (self.obs, self.next, self.action, self.reward, self.done)
        return [torch.as_tensor(store[index], device=device) for store in stores]


def dqn(
    id: str,
    hidden: Sequence[int],
    batch: int,
    rate: float,
    threads: int,
    start: int,
    device: str,
) -> Callable[[int], None]:
    """Returns what trains a DQN for a number of steps."""
    torch.set_num_threads(threads)
    env = gym.make(id)
    inputs, actions = env.observation_space.shape[0], int(env.action_space.n)  # type: ignore[index,attr-defined]
    q, target = (mlp(inputs, hidden, actions).to(device) for _ in range(2))
    target.load_state_dict(q.state_dict())
    optimizer = torch.optim.Adam(q.parameters(), rate)
    buffer = Buffer(20_000, inputs, (), np.int64)
    obs, _ = env.reset(seed=0)

    def train(steps: int) -> None:
        nonlocal obs
        for _ in range(steps):
            if buffer.at < start or np.random.rand() < 0.02:
                action = np.random.randint(actions)
            else:
                with torch.no_grad():
                    action = q(torch.as_tensor(obs, device=device)[None]).argmax().item()
            following, reward, terminated, truncated, _ = env.step(action)
            buffer.add(obs, following, action, reward, terminated)
            obs = env.reset()[0] if terminated or truncated else following
            if buffer.at <= start:
                continue
            o, n, a, r, d = buffer.sample(batch, device)
            with torch.no_grad():
                goal = r + 0.99 * (1 - d) * target(n).max(1).values
            loss = F.smooth_l1_loss(q(o).gather(1, a[:, None])[:, 0], goal)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(q.parameters(), 10.0)
            optimizer.step()
            if buffer.at % 500 == 0:
                target.load_state_dict(q.state_dict())

    return train


def sac(
    id: str,
    hidden: Sequence[int],
    batch: int,
    rate: float,
    threads: int,
    start: int,
    device: str,
) -> Callable[[int], None]:
    """Returns what trains a SAC for a number of steps."""
    torch.set_num_threads(threads)
    env = gym.make(id)  # its actions are in [-1, 1]
    inputs, actions = env.observation_space.shape[0], env.action_space.shape[0]  # type: ignore[index]
    actor = mlp(inputs, hidden, 2 * actions).to(device)
    critics, targets = (
        [mlp(inputs + actions, hidden, 1).to(device) for _ in range(2)] for _ in range(2)
    )
    for critic, target in zip(critics, targets, strict=True):
        target.load_state_dict(critic.state_dict())
    log_alpha = torch.zeros(1, requires_grad=True, device=device)
    of_critics = [p for critic in critics for p in critic.parameters()]
    of_targets = [p for target in targets for p in target.parameters()]
    critic_optimizer = torch.optim.Adam(of_critics, rate)
    actor_optimizer = torch.optim.Adam(actor.parameters(), rate)
    alpha_optimizer = torch.optim.Adam([log_alpha], rate)
    buffer = Buffer(20_000, inputs, (actions,), np.float32)
    obs, _ = env.reset(seed=0)

    def act(o: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = actor(o).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        x = normal.rsample()
        a = torch.tanh(x)
        return a, (normal.log_prob(x) - torch.log(1 - a.square() + 1e-6)).sum(-1)

    def values(networks: list[nn.Sequential], o: Tensor, a: Tensor) -> list[Tensor]:
        joined = torch.cat((o, a), -1)
        return [network(joined)[:, 0] for network in networks]

    def train(steps: int) -> None:
        nonlocal obs
        for _ in range(steps):
            if buffer.at < start:
                action = env.action_space.sample()
            else:
                with torch.no_grad():
                    o = torch.as_tensor(obs, dtype=torch.float32, device=device)[None]
                    action = act(o)[0][0].cpu().numpy()
            following, reward, terminated, truncated, _ = env.step(action)
            buffer.add(obs, following, action, reward, terminated)
            obs = env.reset()[0] if terminated or truncated else following
            if buffer.at <= start:
                continue
            o, n, a, r, d = buffer.sample(batch, device)
            alpha = log_alpha.exp().detach()
            with torch.no_grad():
                next_action, next_log = act(n)
                least = torch.minimum(*values(targets, n, next_action))
                goal = r + 0.99 * (1 - d) * (least - alpha * next_log)
            critic_loss = torch.stack([F.mse_loss(v, goal) for v in values(critics, o, a)]).sum()
            critic_optimizer.zero_grad()
            critic_loss.backward()
            critic_optimizer.step()
            action_now, log_prob = act(o)
            value = torch.minimum(*values(critics, o, action_now))
            actor_loss = (alpha * log_prob - value).mean()
            actor_optimizer.zero_grad()
            actor_loss.backward()
            actor_optimizer.step()
            alpha_loss = -(log_alpha * (log_prob.detach() - actions)).mean()
            alpha_optimizer.zero_grad()
            alpha_loss.backward()
            alpha_optimizer.step()
            with torch.no_grad():
                for t, c in zip(of_targets, of_critics, strict=True):
                    t.mul_(0.995).add_(c, alpha=0.005)

    return train


LOOPS: dict[str, Callable[..., Callable[[int], None]]] = {"dqn": dqn, "sac": sac}
