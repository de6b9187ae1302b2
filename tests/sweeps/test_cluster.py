import pytest

from sweeps.cluster import Share


@pytest.mark.parametrize(
    ("cpu", "gpu", "machine", "fit"),
    [
        (1, 0, {"CPU": 8.0}, 8),
        (0.1, 0, {"CPU": 1.0}, 10),
        (3, 0, {"CPU": 8.0, "GPU": 1.0}, 2),
        (1, 0.25, {"CPU": 64.0, "GPU": 8.0}, 32),
        (1, 0.3, {"CPU": 64.0, "GPU": 8.0}, 24),  # three on each, the rest of it is lost
        (1, 0.25, {"CPU": 6.0, "GPU": 8.0}, 6),
        (1, 2, {"CPU": 64.0, "GPU": 7.0}, 3),
        (1, 1, {"CPU": 64.0}, 0),
        (1, 0, {}, 0),
    ],
)
def test_shares_of_a_machine(cpu: float, gpu: float, machine: dict[str, float], fit: int) -> None:
    assert Share(cpu, gpu).fits(machine) == fit
