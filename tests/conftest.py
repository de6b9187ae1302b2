"""What every test runs under."""

import pytest
import torch
from hypothesis import settings

# The same examples on every machine and on every run, however slow the machine is.
settings.register_profile("exact", derandomize=True, deadline=None)
settings.load_profile("exact")
# Two workers run tests side by side, and each has a core.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """No test passes or fails by chance."""
    torch.manual_seed(0)
