"""What a compiler is given for an optimizer's step is that step."""

import pytest
import torch

from agents.descent import Adam, _adam


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_for_a_compiler_is_pytorchs(weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first = [torch.randn(2, 3, generator=generator), torch.randn(4, generator=generator)]
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in first] for _ in range(2))
    adam = Adam(ours, 1e-2)
    plain = torch.optim.Adam(theirs, 1e-2, weight_decay=weight_decay)
    states = [adam.state[p] for p in ours]
    for i in range(5):
        if i == 2:  # steps may differ
            adam.forget(ours[1])
            plain.state[theirs[1]].clear()
        grads = [torch.randn(p.shape, generator=generator) for p in ours]
        with torch.no_grad():
            _adam(
                ours,
                grads,
                [s["exp_avg"] for s in states],
                [s["exp_avg_sq"] for s in states],
                [s["step"] for s in states],
                (0.9, 0.999),
                lr=1e-2,
                eps=1e-8,
                weight_decay=weight_decay,
            )
        for p, grad in zip(theirs, grads, strict=True):
            p.grad = grad.clone()
        plain.step()
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert [int(s["step"]) for s in states] == [5, 3]
