"""Does AdaLin preserve plasticity in off-policy reinforcement learning?

    python experiments/run.py rl-plasticity [--jobs 2] [--worlds obs-shift-cartpole ...]

Protocol, fixed before the runs.  The set-up of the paper is not public: this is an experiment of
its own.

* **Worlds.**  DQN, 64-64, in obs-shift-cartpole, obs-permute-cartpole and action-permute-acrobot;
  replay of 10,000 transitions, so that it holds about one task, one update per step.  DQN with
  convolutions in three games of MinAtar, each twice.  SAC, 64-64, in
  InvertedDoublePendulum whose observation shifts, and in HalfCheetah whose gravity changes.
* **Arms.**  Below; each has the same number of trials.
* **Hypotheses.**  AdaLin-ReLU earns more than ReLU (1), than Leaky ReLU (2) and than one slope for
  each layer (3); zeros are a better start than uniform alphas (4); AdaLin-Tanh earns more than Tanh
  (5), and more with its gate than without (6); AdaLin-GELU more than GELU (7); AdaLin-ReLU still
  adds to LayerNorm (8); AdaLin-ReLU is the best of all arms (9).
* **Tuning.**  4 learning rates, or 2 where a remedy has a setting with 2 values, on seeds 100 to
  102 and the first quarter of the tasks, at least 2.  The largest mean area under the return curve
  wins.
* **Primary measure.**  Area under the return curve of each visit (mean return over its steps), mean
  of all visits.  Seeds 0 to 9 of DQN, 0 to 4 of SAC and in MinAtar.
* **Decision.**  Seeds have the same tasks in all arms; the difference of two arms is taken seed by
  seed.  Supported if its 95% interval (Student's t) is above 0, contradicted if below, else
  undecided.  Intervals are not corrected for their number.
* **Causes.**  ReLU and AdaLin-ReLU are run again by oracles that clear the replay or make a new
  agent at each switch: the first tells what old transitions do, the second what was lost.  In the
  worlds of CartPole both are run at every learning rate, too: in obs-shift-cartpole, whose results
  were seen before this was added, arms with a larger chosen rate earned more, which hides what
  activations do.  In the pendulum, too, since all results were there: trials chose the greatest
  rate for ReLU, and it loses plasticity.
* **Smaller since.**  After the worlds of CartPole and before any run of those concerned: SAC learns
  from batches of 128, not 256.  After the other worlds and before any run of it,
  so that it takes two hours on two processors: games of MinAtar are visited for 8,000 steps, not
  15,000, with an update every 4 steps, not 2; learning starts after 1,000 steps, exploration falls
  in 4,000, and the replay holds 10,000 transitions, about one task, as elsewhere.
* **Greater rates.**  In obs-shift-double-pendulum 14 of 17 arms chose the greatest learning rate,
  2e-3, of trials from 2.5e-4 on.  Before any run that counts the rates there became 1e-3 to 8e-3.
  Ten chose 8e-3 then, where scores had flattened.  In cheetah-gravity the first two arms, of which
  alone there were trials, chose 2e-3, too: the rates are the same there, and 7 of 17 chose 8e-3.
  In minatar-3 the first two arms, of which alone all trials were done, chose 2e-3 by far (ReLU 2.6,
  3.6, 4.5, 5.2 from 2.5e-4 on): the rates are the same there, too.
* **Corrected.**  After three worlds were done: the rival in (9) is picked by the same numbers, so
  the level of its interval is 1 - 0.05 / 16; new agents explore anew, which whole visits pay for,
  so the last 10% of visits are shown, too; tables of what is inside had averaged all visits, where
  they say the last quarter.
* **Done again.**  The games of minatar-3 were to be visited twice each.  But its sequence, as it
  was published, stays with its last game, which was seen when its runs were done (visits of 8,000,
  8,000 and 32,000 steps; AdaLin-ReLU earned 0.40, 0.03 to 0.77, more than ReLU).  All runs were
  done again with ``--cyclic``; the trials are those of before, as they see the first two visits.
  Where tasks come in turn, a loss from visit to visit is one between visits of the same task since:
  before, it was that of all visits, -398 (-594 to -202) in cheetah-gravity.
"""

from __future__ import annotations

from protocol import Arm, Protocol, World

RATES = ("2.5e-4", "5e-4", "1e-3", "2e-3")
GREATER = ("1e-3", "2e-3", "4e-3", "8e-3")
DQN = (
    "--agent dqn --dqn.buffer-size 10000 --dqn.replay-ratio 1 --no-compile "
    "--checkpoint-every 1000000 --dqn.epsilon-steps 3000 --probe.every 2000 --log-every 2000"
)
SAC = (
    "--agent sac --sac.buffer-size 10000 --sac.batch-size 128 --sac.hidden 64 64 --no-compile "
    "--checkpoint-every 1000000 --probe.every 2500 --log-every 2500"
)
MINATAR = (
    "--agent dqn --num-envs 4 --dqn.hidden 128 --dqn.batch-size 32 --dqn.loss huber "
    "--dqn.buffer-size 10000 --dqn.replay-ratio 0.25 --dqn.learning-starts 1000 "
    "--dqn.epsilon-steps 4000 --dqn.epsilon-end 0.05 --no-compile --checkpoint-every 1000000 "
    "--probe.every 4000 --log-every 4000"
)


def world(
    flags: str,
    seeds: int,
    env: str,
    steps: int,
    tasks: int,
    rates: tuple[str, ...] = RATES,
    order: str = "",
    turn: int = 1,
) -> World:
    """A world with so many visits of so many steps; a quarter of them, at least 2, for trials.

    The order of tasks is that of the runs that count; trials see the first tasks, whatever it is.
    """
    agent = "sac" if "--agent sac" in flags else "dqn"
    return World(
        flags=f"--env {env} --steps-per-task {steps} {flags}",
        tuning=f"--total-steps {steps * max(tasks // 4, 2)} --seed 100 --num-seeds 3",
        final=f"--total-steps {steps * tasks} --seed 0 --num-seeds {seeds}{order}",
        rate=f"--{agent}.learning-rate",
        rates=rates,
        fewer=rates[::2],
        every_rate=env.startswith("obs-"),
        turn=turn,
    )


PROTOCOL = Protocol(
    name="rl-plasticity",
    program="train",
    worlds={
        "obs-shift-cartpole": world(DQN, 10, "obs-shift-cartpole", 8_000, 8),
        "obs-permute-cartpole": world(DQN, 10, "obs-permute-cartpole", 8_000, 8),
        "action-permute-acrobot": world(DQN, 10, "action-permute-acrobot", 8_000, 8),
        "minatar-3": world(MINATAR, 5, "minatar-3", 8_000, 6, GREATER, " --cyclic", turn=3),
        "obs-shift-double-pendulum": world(
            SAC, 5, "obs-shift-InvertedDoublePendulum-v5", 5_000, 8, GREATER
        ),
        "cheetah-gravity": world(SAC, 5, "cheetah-gravity", 5_000, 8, GREATER, turn=5),
    },
    arms={
        "relu": Arm("--activation relu"),
        "leaky-relu": Arm("--activation leaky-relu"),
        "prelu": Arm("--activation prelu"),
        "prelu-layer": Arm("--activation prelu-layer"),
        "adalin-relu": Arm("--activation adalin-relu"),
        "adalin-relu, uniform": Arm("--activation adalin-relu --adalin.init uniform"),
        "tanh": Arm("--activation tanh"),
        "adalin-tanh": Arm("--activation adalin-tanh"),
        "adalin-tanh, no gate": Arm("--activation adalin-tanh --adalin.no-gate"),
        "gelu": Arm("--activation gelu"),
        "adalin-gelu": Arm("--activation adalin-gelu"),
        "crelu, halved": Arm("--activation crelu --halve-widths"),
        "relu + layer-norm": Arm("--activation relu --mitigation layer-norm"),
        "relu + redo": Arm(
            "--activation relu --mitigation redo --redo.every 1000",
            ("--redo.tau 0.01", "--redo.tau 0.1"),
        ),
        "relu + l2-init": Arm(
            "--activation relu --mitigation l2-init",
            ("--l2-init.strength 1e-3", "--l2-init.strength 1e-4"),
        ),
        "relu + reset": Arm(
            "--activation relu --mitigation reset", ("--reset.every 5000", "--reset.every 10000")
        ),
        "adalin-relu + layer-norm": Arm("--activation adalin-relu --mitigation layer-norm"),
    },
    losers=("relu",),
    pairs=(
        ("1 adalin-relu earns more than relu", "adalin-relu", "relu"),
        ("2 adalin-relu earns more than leaky-relu", "adalin-relu", "leaky-relu"),
        ("3 adalin-relu earns more than one slope for each layer", "adalin-relu", "prelu-layer"),
        (
            "4 adalin-relu earns more with alphas from 0 than with uniform ones",
            "adalin-relu",
            "adalin-relu, uniform",
        ),
        ("5 adalin-tanh earns more than tanh", "adalin-tanh", "tanh"),
        (
            "6 adalin-tanh earns more with its gate than without",
            "adalin-tanh",
            "adalin-tanh, no gate",
        ),
        ("7 adalin-gelu earns more than gelu", "adalin-gelu", "gelu"),
        ("8 adalin-relu adds to layer-norm", "adalin-relu + layer-norm", "relu + layer-norm"),
    ),
    best="adalin-relu",
    drawn=(
        "relu",
        "leaky-relu",
        "adalin-relu",
        "tanh",
        "adalin-tanh",
        "relu + layer-norm",
        "adalin-relu + layer-norm",
        "relu + redo",
    ),
    unit="area under the return curve",
    form="{:.1f}",
    oracles={"replay cleared": "--on-switch clear-replay", "new agent": "--on-switch reset-agent"},
    asked=("relu", "adalin-relu"),
)
