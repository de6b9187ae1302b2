"""Which activations and remedies keep a network learning?  Random labels for digits, 40 times.

    python experiments/run.py random-label-digits [--jobs 2]

Protocol, fixed before the runs:

* **Stream.** 320 images of scikit-learn's digits for each seed, whose labels are drawn anew at
  each of 40 tasks; 20 epochs of each, batches of 16: 400 updates per task. MLP 100-100, Adam.
* **Hypotheses.** (1) ReLU loses online accuracy from task to task. AdaLin-ReLU (2) and a PReLU
  for each neuron (3) keep more of it. (4) An alpha for each neuron is better than one for each
  layer, and that better than one for the network. (5) AdaLin-Tanh is better with its gate than
  without. (6) Alphas that start at 0 are better than uniform ones. (7) AdaLin-ReLU is the best of
  all arms.
* **Tuning.** Each arm has 8 trials on seeds 100 and 101, 20 tasks each: 8 learning rates, or 4
  where a remedy has a setting with 2 values. The best mean online accuracy wins.
* **Primary measure.** Online accuracy (on each batch before it is learned from), mean of the 40
  tasks; beside it that of the last 10 tasks, and the slope from task to task. Seeds 0 to 4.
* **Decision.** Seeds have the same images and labels in all arms, so differences are taken seed
  by seed. A hypothesis is supported if the 95% interval (Student's t) of the difference excludes
  0 on its side, contradicted if on the other, else undecided. Intervals are not corrected for
  their number.
"""

from __future__ import annotations

from protocol import Arm, Protocol, World

WORLD = World(
    flags="--stream random-label --images-per-task 320 --epochs 20 --optimizer adam --no-compile",
    tuning="--num-tasks 20 --seed 100 --num-seeds 2 --probe.every 8000 --log-every 8000",
    final="--num-tasks 40 --seed 0 --num-seeds 5 --probe.every 400 --log-every 400",
    rate="--learning-rate",
    rates=("1e-4", "3e-4", "6e-4", "1e-3", "2e-3", "3e-3", "6e-3", "1e-2"),
    fewer=("3e-4", "1e-3", "3e-3", "1e-2"),
)
ARMS = {
    "relu": Arm("--activation relu"),
    "leaky-relu": Arm("--activation leaky-relu"),
    "prelu": Arm("--activation prelu"),
    "prelu-layer": Arm("--activation prelu-layer"),
    "adalin-relu": Arm("--activation adalin-relu"),
    "adalin-relu, uniform": Arm("--activation adalin-relu --adalin.init uniform"),
    "adalin-relu, layer": Arm("--activation adalin-relu --adalin.granularity layer"),
    "adalin-relu, network": Arm("--activation adalin-relu --adalin.granularity network"),
    "tanh": Arm("--activation tanh"),
    "adalin-tanh": Arm("--activation adalin-tanh"),
    "adalin-tanh, no gate": Arm("--activation adalin-tanh --adalin.no-gate"),
    "crelu, halved": Arm("--activation crelu --halve-widths"),
    "fourier, halved": Arm("--activation fourier --halve-widths"),
    "relu + layer-norm": Arm("--activation relu --mitigation layer-norm"),
    "relu + l2-init": Arm(
        "--activation relu --mitigation l2-init",
        ("--l2-init.strength 1e-2", "--l2-init.strength 1e-3"),
    ),
    "relu + shrink-perturb": Arm(
        "--activation relu --mitigation shrink-perturb --shrink-perturb.every 400",
        (
            "--shrink-perturb.shrink 0.2 --shrink-perturb.perturb 0.2",
            "--shrink-perturb.shrink 0.6 --shrink-perturb.perturb 0.6",
        ),
    ),
    "relu + redo": Arm(
        "--activation relu --mitigation redo --redo.every 400",
        ("--redo.tau 0.01", "--redo.tau 0.1"),
    ),
    "adalin-relu + layer-norm": Arm("--activation adalin-relu --mitigation layer-norm"),
}
PROTOCOL = Protocol(
    name="random-label-digits",
    program="supervise",
    worlds={"random-label-digits": WORLD},
    arms=ARMS,
    losers=("relu",),
    pairs=(
        ("adalin-relu keeps more than relu", "adalin-relu", "relu"),
        ("prelu keeps more than relu", "prelu", "relu"),
        (
            "an alpha for each neuron better than layer",
            "adalin-relu",
            "adalin-relu, layer",
        ),
        (
            "for each layer better than network",
            "adalin-relu, layer",
            "adalin-relu, network",
        ),
        ("tanh: with the gate better than without", "adalin-tanh", "adalin-tanh, no gate"),
        ("alphas from 0 better than uniform ones", "adalin-relu", "adalin-relu, uniform"),
    ),
    best="adalin-relu",
    drawn=(
        "relu",
        "leaky-relu",
        "adalin-relu",
        "adalin-relu, network",
        "tanh",
        "adalin-tanh",
        "fourier, halved",
        "relu + layer-norm",
    ),
    unit="online accuracy",
    form="{:.1%}",
)
