"""What every test runs under."""

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings
from tyro import _unsafe_cache

# The same examples on every machine and on every run, however slow the machine is.
settings.register_profile("exact", derandomize=True, deadline=None)
settings.load_profile("exact")
# Two workers run tests side by side, and each has a core.
torch.set_num_threads(1)
# Where tyro sees pytest it looks part of its cache up anew, and reading flags takes much longer.
_unsafe_cache.sys = SimpleNamespace(modules={})  # type: ignore[attr-defined, assignment]


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """No test passes or fails by chance."""
    torch.manual_seed(0)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Agents are traced as they are for real, without the compiler behind, which takes long."""
    made = partial(torch.compile, dynamic=False, backend="aot_eager")
    monkeypatch.setattr("agents.off_policy.compiled", made)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(trace_autograd_ops=True, recompile_limit=1_000):
        yield


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no pictures of their visits, which take long beside a short run."""
    monkeypatch.setattr("training.reporting.return_against_dormant", lambda visits: None)
