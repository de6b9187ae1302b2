"""Addresses of contiguous float32 tensors (gradients of alpha: float64), and sizes."""

def relu_forward(
    x: int, alpha: int, y: int, copies: int, rows: int, units: int, k: int, /
) -> None: ...
def gated_forward(
    x: int,
    slope: int,
    alpha: int,
    y: int,
    scale: float,
    base: int,
    copies: int,
    rows: int,
    units: int,
    k: int,
    /,
) -> None: ...
def gated_backward(
    grad: int,
    x: int,
    slope: int,
    alpha: int,
    dx: int,
    dalpha: int,
    scale: float,
    copies: int,
    rows: int,
    units: int,
    k: int,
    /,
) -> None: ...
def relu_backward(
    grad: int,
    x: int,
    alpha: int,
    dx: int,
    dalpha: int,
    copies: int,
    rows: int,
    units: int,
    k: int,
    /,
) -> None: ...
