"""The tables that scripts print stand in the README as they are printed."""

import re
from pathlib import Path

from networks import ACTIVATIONS
from plasticity import MITIGATIONS
from scripts import methods

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_table_of_methods_in_the_readme_is_the_registry() -> None:
    assert "\n".join(methods.rows()) in README
    listed = ", ".join(methods.ACTIVATIONS)
    of_their_own = [n for n in ACTIVATIONS if not n.startswith("adalin-")]
    plain = {"relu", "tanh", "gelu", "gelu-tanh", "silu", "elu", "mish", "sigmoid", "softplus"}
    for name in set(of_their_own) - plain:
        assert re.search(rf"\b{name}\b", listed), name
    assert len(methods.rows()) == 2 + len(methods.ACTIVATIONS) + len(MITIGATIONS)
