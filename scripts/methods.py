"""Prints the README's table of methods: ``python scripts/methods.py``."""

from __future__ import annotations

from plasticity import MITIGATIONS

ACTIVATIONS = {
    "adalin-<base>": ("2505.09486", "gradients by hand in float64; `F.prelu` bit for bit"),
    "prelu, prelu-layer": ("He et al. 2015", "`F.prelu`"),
    "leaky-relu and other bases": ("", "PyTorch's own, and their Lipschitz constants"),
    "crelu": ("Abbas et al. 2023", "NumPy, gradients by hand"),
    "fourier": ("2410.20634", "NumPy, gradients by hand"),
    "smooth-leaky, randomized-smooth-leaky": ("2509.22562", "the formula; draws of each seed"),
    "rational": ("Molina et al. 2020", "NumPy; leaky ReLU at the start"),
    "aid": ("2502.01342", "the mean of many draws; draws of each seed"),
}
"""Activations that are remedies: source, and what their tests compare them with."""


def rows() -> list[str]:
    """Returns the lines of the table in Markdown."""
    lines = ["| method | source | seam | tested against |", "|---|---|---|---|"]
    for name, (source, tested) in ACTIVATIONS.items():
        lines.append(f"| `--activation` {name} | {source} | architecture | {tested} |")
    for name, entry in MITIGATIONS.items():
        lines.append(f"| `{name}` | {entry.source} | {entry.seam} | {entry.tested} |")
    return lines


if __name__ == "__main__":
    print("\n".join(rows()))
