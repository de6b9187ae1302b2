import copy
import functools
import importlib.util
import linecache
import pickle
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from networks.activations import Elementwise, make_activation
from networks.adalin import AdaLin
from networks.bases import BASES
from networks.convert import Site, adalinize, base_of, replace_activations
from networks.torsos import Architecture, Torso


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2))


class NatureCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 32, 8, 4)
        self.conv2 = nn.Conv2d(32, 64, 4, 2)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.dense = nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        x = self.conv3(x).relu()
        return F.relu(self.dense(x.flatten(1)), inplace=True)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.relu(self.conv1(F.relu(x))))
        return out


def impala() -> nn.Sequential:
    def stage(before: int, after: int) -> nn.Sequential:
        conv = nn.Conv2d(before, after, 3, padding=1)
        conv.bias = nn.Parameter(
            torch.full((after,), -0.3)
        )  # alpha acts where the input of ReLU is negative
        return nn.Sequential(conv, nn.MaxPool2d(3, 2, 1), Residual(after), Residual(after))

    head = (nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 20), nn.ReLU())
    return nn.Sequential(stage(3, 4), stage(4, 8), *head)


class Block(nn.Module):
    """As in torchvision: one ReLU, in place, called twice."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            if stride != 1
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        out = self.relu(out)
        return out


def resnet18() -> nn.Sequential:
    blocks = [Block(4, 4, 1), Block(4, 4, 1)]
    for before, after in ((4, 8), (8, 12), (12, 16)):
        blocks += [Block(before, after, 2), Block(after, after, 1)]
    stem = (nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(*stem, *blocks, *head)


def encoder_layer(activation: Any = F.relu) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation, batch_first=True)


def widths(module: nn.Module) -> list[int]:
    return [part.num_features for part in module.modules() if isinstance(part, AdaLin)]


Case = tuple[Callable[[], nn.Module], tuple[int, ...], list[int]]
CASES: dict[str, Case] = {
    "mlp": (mlp, (3, 4), [8, 6]),
    "nature": (NatureCNN, (2, 4, 36, 36), [32, 64, 64, 16]),
    "impala": (impala, (2, 3, 8, 8), [4] * 4 + [8] * 5 + [20]),
    "resnet": (resnet18, (2, 3, 16, 16), [4] * 5 + [8] * 4 + [12] * 4 + [16] * 4),
    "transformer": (encoder_layer, (2, 3, 8), [16]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_converted_network_computes_the_same(name: str) -> None:
    make, shape, expected = CASES[name]
    torch.manual_seed(0)
    module, x = make(), 3 * torch.randn(shape)
    original = copy.deepcopy(module)
    lines: list[str] = []
    assert adalinize(module, log=lines.append) is module
    assert type(module).__name__ == type(original).__name__
    assert isinstance(module, type(original))
    assert sorted(widths(module)) == sorted(expected)
    assert sum(": AdaLin(" in line for line in lines) == len(expected)
    assert len(lines) == len(expected)

    out = module(x)
    assert torch.equal(out, original(x))  # in training mode
    (out * torch.randn_like(out)).sum().backward()
    for part in module.modules():
        if isinstance(part, AdaLin):
            assert part.alpha.grad is not None
            assert part.alpha.grad.abs().sum() > 0

    added = {key for key in module.state_dict() if key.endswith("alpha")}
    assert module.state_dict().keys() - added == original.state_dict().keys()
    module.eval(), original.eval()
    # In eval mode the original transformer takes another kernel.
    torch.testing.assert_close(module(x), original(x))
    if name != "transformer":
        assert torch.equal(module(x), original(x))
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), module(x))
        assert twin.state_dict().keys() == module.state_dict().keys()


def test_alpha_has_an_effect_at_every_site() -> None:
    torch.manual_seed(0)
    for make, shape, expected in CASES.values():
        module, x = adalinize(make(), log=None).eval(), 3 * torch.randn(shape)
        before = module(x)
        layers = [part for part in module.modules() if isinstance(part, AdaLin)]
        assert len(layers) == len(expected)
        for layer in layers:
            with torch.no_grad():
                layer.alpha.fill_(1.0)
                assert not torch.equal(module(x), before)
                layer.alpha.zero_()


def test_plain_modules_leave_the_class_alone() -> None:
    module = adalinize(mlp(), log=None)
    assert type(module) is nn.Sequential
    assert [name for name, _ in module.named_children()] == list("01234")


def test_names_of_sites() -> None:
    block, cnn = adalinize(Block(3, 3, 1), log=None), adalinize(NatureCNN(), log=None)
    assert {name for name, part in block.named_modules() if isinstance(part, AdaLin)} == {
        "relu",
        "relu_1",
    }
    names = [name for name, part in cnn.named_modules() if isinstance(part, AdaLin)]
    assert names == ["relu", "relu_1", "relu_2", "relu_3"]
    assert [cnn.relu.dim, cnn.relu_3.dim] == [-3, -1]


def test_one_object_under_several_names() -> None:
    relu = nn.ReLU()
    calls: list[int] = []
    handle = relu.register_forward_hook(lambda *_: calls.append(1))
    module = nn.Sequential(nn.Linear(2, 3), relu, nn.Linear(3, 4), relu)
    adalinize(module, log=None)
    assert widths(module) == [3, 4]
    assert type(module) is nn.Sequential
    module(torch.randn(1, 2))
    assert len(calls) == 2
    handle.remove()
    module(torch.randn(1, 2))
    assert len(calls) == 2


def test_hooks_move_and_can_be_removed() -> None:
    module = mlp()
    seen: list[str] = []
    handles = [
        module[1].register_forward_hook(lambda *_, **__: seen.append("f"), with_kwargs=True),
        module[1].register_forward_pre_hook(lambda *_: seen.append("p")),
        module[1].register_full_backward_hook(lambda *_: seen.append("b")),
        module.register_forward_hook(lambda *_: seen.append("m")),
    ]
    adalinize(module, log=None)
    module(torch.randn(2, 4)).sum().backward()
    assert seen == ["p", "f", "m", "b"]
    for handle in handles:
        handle.remove()
    module(torch.randn(2, 4)).sum().backward()
    assert len(seen) == 4


def test_hooks_of_a_rewritten_module_are_kept() -> None:
    module = NatureCNN()
    seen: list[int] = []
    module.register_forward_hook(lambda *_: seen.append(1))
    adalinize(module, log=None)(torch.randn(1, 4, 36, 36))
    assert seen == [1]


def test_filters() -> None:
    assert widths(adalinize(mlp(), "tanh", log=None)) == [6]
    assert widths(adalinize(mlp(), nn.ReLU, log=None)) == [8]
    assert widths(adalinize(mlp(), ("relu", nn.Tanh), log=None)) == [8, 6]


def test_the_function_stays_unless_to_is_given() -> None:
    x = torch.randn(5, 3) * 3
    for activation in (
        nn.LeakyReLU(0.2),
        nn.ELU(2.0),
        nn.Softplus(beta=2.0),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Mish(),
        nn.Sigmoid(),
        Elementwise("elu"),
    ):
        module = nn.Sequential(nn.Linear(3, 4), activation)
        before = module(x)
        assert torch.equal(adalinize(module, log=None)(x), before)
    module = adalinize(nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2)), to="tanh", log=None)
    assert isinstance(module[1], AdaLin)
    assert module[1].base.name == "tanh"


def test_settings_of_functions_stay() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(F.leaky_relu(self.dense(x), 0.2), approximate="tanh") + 1

    module, x = Net(), torch.randn(5, 3)
    before = module(x)
    assert torch.equal(adalinize(module, log=None)(x), before)
    assert [part.base.name for part in module.modules() if isinstance(part, AdaLin)] == [
        "leaky-relu(negative_slope=0.2)",
        "gelu-tanh",
    ]


def test_markers_and_sites() -> None:
    class Marker(nn.Module):
        pass

    module = nn.Sequential(nn.Conv1d(2, 3, 1), Marker(), nn.Flatten(), nn.Linear(6, 4), Marker())
    sites, notes = replace_activations(
        module, lambda site: nn.PReLU(site.num_features), only=Marker
    )
    assert sites == (Site("1", None, 3, -2), Site("4", None, 4, -1))
    assert notes == ()
    module = nn.Sequential(nn.Linear(2, 3), Marker())
    with pytest.raises(ValueError, match="`to` should be given: the function at 1"):
        adalinize(module, Marker)
    assert isinstance(module[1], Marker)
    assert widths(adalinize(module, Marker, to="relu", log=None)) == [3]


def test_own_layers_with_leading_axes() -> None:
    torso = Torso((4,), (2,), Architecture((8, 6), "relu"))
    x = torch.randn(2, 5, 4)
    before = torso(x)
    adalinize(torso, log=None)
    assert torch.equal(torso(x), before)
    alphas = [part.alpha.shape for part in torso.modules() if isinstance(part, AdaLin)]
    assert alphas == [(2, 8), (2, 6)]


def test_own_normalisations_stay_between_weights_and_activation() -> None:
    torso = Torso((4, 10, 10), (2,), Architecture((8,), "relu", layer_norm=True))
    x = torch.randn(2, 5, 4, 10, 10)
    before = torso(x)
    adalinize(torso, log=None)
    assert torch.equal(torso(x), before)
    alphas = [part.alpha.shape for part in torso.modules() if isinstance(part, AdaLin)]
    assert alphas == [(2, 16), (2, 8)]


@pytest.mark.parametrize("name", ["crelu", "rational", "aid"])
def test_activations_without_a_base_are_kept(name: str) -> None:
    torso: Any = Torso((4,), (2,), Architecture((8,), name))
    module = nn.Sequential(torso, nn.Linear(torso.num_features, 3), nn.ReLU())
    adalinize(module, log=None)
    assert type(torso.dense.layer_1.activation) is type(make_activation(name, 8))
    assert isinstance(module[2], AdaLin)
    with pytest.raises(ValueError, match="`base` should match an activation of the module"):
        adalinize(Torso((4,), (2,), Architecture((8,), name)), log=None)


def test_a_smooth_leaky_layer_is_a_base() -> None:
    torso = Torso((4,), (2,), Architecture((8,), "smooth-leaky"))
    adalinize(torso, "smooth-leaky", log=None)
    (layer,) = [part for part in torso.modules() if isinstance(part, AdaLin)]
    assert layer.base is BASES["smooth-leaky"]


def test_an_elementwise_layer_tells_its_axes() -> None:
    module = nn.Sequential(nn.Flatten(3), Elementwise("relu", -2, (2,)))
    adalinize(module, example_input=torch.randn(2, 5, 4, 3, 1), log=None)
    assert isinstance(module[1], AdaLin)
    assert module[1].alpha.shape == (2, 4)
    assert module[1].dim == -2


def test_base_of() -> None:
    assert base_of(nn.GELU("tanh")) is BASES["gelu-tanh"]
    assert base_of(Elementwise("elu")) is BASES["elu"]
    leaky = base_of(nn.LeakyReLU(0.2))
    assert leaky is not None
    assert float(leaky.function(torch.tensor(-1.0))) == pytest.approx(-0.2)
    assert base_of(nn.Linear(1, 1)) is None
    assert base_of(AdaLin(2)) is None
    assert base_of(nn.ReLU6()) is None


def test_device_dtype_and_mode_are_those_of_the_place() -> None:
    module = adalinize(mlp().double().eval(), log=None)
    assert module[1].alpha.dtype == torch.float64
    assert not any(part.training for part in module.modules())
    assert module(torch.randn(2, 4, dtype=torch.float64)).dtype == torch.float64


def test_network_granularity_is_one_alpha() -> None:
    module = adalinize(mlp(), granularity="network", log=None)
    assert module[1].alpha is module[3].alpha


class Reshaped(nn.Module):
    """The width is not to be read: the layer before is a reshape."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.relu(self.drop(self.norm(x)).view(-1, 3, 2, 1)))


def test_unknown_widths_need_an_example() -> None:
    module = Reshaped()
    module.norm.eval()
    state, modes = copy.deepcopy(module.state_dict()), [part.training for part in module.modules()]
    with pytest.raises(ValueError, match="the width at relu can't be read.*`example_input`"):
        adalinize(module)
    assert type(module) is Reshaped
    assert list(module._modules) == ["norm", "drop", "relu"]
    state_of_random = torch.get_rng_state()
    x = torch.randn(4, 6, generator=torch.Generator())
    with pytest.raises(ValueError, match="`dim` should be the axis of the units at relu, above -4"):
        adalinize(module, example_input=x)
    adalinize(module, example_input=x, dim=-3, log=None)
    assert torch.equal(torch.get_rng_state(), state_of_random)
    assert widths(module) == [3, 3]
    assert [p.training for p in module.modules() if not isinstance(p, AdaLin)] == modes[:-1]
    assert all(torch.equal(module.state_dict()[key], value) for key, value in state.items())


def test_the_forward_pass_leaves_no_marks() -> None:
    modes: list[bool] = []

    class Noise(nn.Module):
        count: Tensor
        other: Tensor
        history: list[int]

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))
            self.register_buffer("other", torch.zeros(()))
            self.steps, self.history = 0, []

        def forward(self, x: Tensor) -> Tensor:
            if x.sum() < 1e9:  # keeps torch.fx out
                modes.append(self.training)
            self.count += 1
            self.other = self.other + 1
            self.steps += 1
            self.history.append(1)
            return x + torch.rand_like(x)

    noise = Noise()
    state_of_random = torch.get_rng_state()
    adalinize(nn.Sequential(noise, nn.ReLU()), example_input=torch.zeros(1, 3), log=None)
    assert modes == [False]
    assert noise.training
    assert noise.count == noise.other == noise.steps == len(noise.history) == 0
    assert torch.equal(torch.get_rng_state(), state_of_random)


def test_pooling_may_change_the_width() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.MaxPool1d(2), nn.ReLU())
    with pytest.raises(ValueError, match="the width at 2 can't be read"):
        adalinize(module)
    sites, _ = replace_activations(
        module, lambda site: nn.Identity(), example_input=torch.randn(5, 3)
    )
    assert sites == (Site("2", "relu", 2, -1),)


def test_three_axes_need_dim() -> None:
    module = nn.Sequential(nn.Flatten(2), nn.ReLU())
    x = torch.randn(2, 3, 4, 5)
    with pytest.raises(ValueError, match="`dim` should be the axis of the units at 1"):
        adalinize(module, example_input=x)
    assert widths(adalinize(module, example_input=(x,), dim=-2, log=None)) == [3]


def test_forwards_with_a_reason_to_stay_as_they_are() -> None:
    class Decorated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.act = nn.Linear(4, 4), nn.ReLU()

        @torch.no_grad()
        def forward(self, x: Tensor) -> Any:
            return F.relu(self.act(self.dense(x)))

    class Parent(Decorated):
        def forward(self, x: Tensor) -> Any:
            return F.relu(super().forward(x))

    class Helped(Decorated):
        def helper(self, x: Tensor) -> Tensor:
            return F.relu(x)

        def forward(self, x: Tensor) -> Any:
            return self.act(self.helper(self.dense(x)))

    def private(self: Any, x: Tensor) -> Any:
        return F.relu(self.act(self.dense(x))) if x.sum() < 1e9 else self.__hidden

    scope = dict(globals())
    exec("def sourceless(self, x):\n    return F.relu(self.act(self.dense(x)))", scope)
    reasons = {
        "the forward is decorated": Decorated(),
        "the forward uses __class__ from around it": Parent(),
        "the forward has no source": net(scope["sourceless"]),
        "the forward uses names that are private to its class": net(private),
        "they are called in another method": Helped(),
        "the forward is that of a torch.fx.GraphModule": torch.fx.symbolic_trace(net(functions)),
    }
    for reason, module in reasons.items():
        lines: list[str] = []
        x, kind = torch.randn(2, 4), type(module)
        before = module(x)
        only = nn.Sequential(module, nn.Tanh())  # which has another site
        adalinize(only, log=lines.append, example_input=x)
        assert type(module) is kind
        assert any(reason in line and "functions it calls are kept" in line for line in lines)
        assert torch.equal(module(x), before)


def test_unused_activations_stay() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.used = nn.Linear(3, 4), nn.ReLU()
            self.unused, self.function = self.used, F.relu

        def forward(self, x: Tensor) -> Tensor:
            x = self.used(self.dense(x))
            return x

    module, lines = Net(), []  # type: ignore[var-annotated]
    adalinize(module, log=lines.append)
    assert widths(module) == [4]
    assert type(module.unused) is nn.ReLU
    assert vars(module)["function"] is F.relu
    assert lines[1:] == ["unused is kept: nothing calls it"]


def counts(self: Any, x: Tensor) -> Tensor:
    self.count += 1
    return torch.tanh(self.act(self.dense(x)))


def counts_in_place(self: Any, x: Tensor) -> Tensor:
    for buffer in self.buffers():
        buffer.add_(1)
    return torch.tanh(self.act(self.dense(x)))


def collects(self: Any, x: Tensor) -> Tensor:
    y = self.act(self.dense(x))
    self.seen.append(1)
    return torch.tanh(y)


def draws(self: Any, x: Tensor) -> Tensor:
    y = self.act(self.dense(x))
    return x if torch.rand(1).item() < 0.2 else torch.tanh(y)


def draws_of_python(self: Any, x: Tensor) -> Tensor:
    y = self.act(self.dense(x))
    return x if random.random() < 0.2 else torch.tanh(y)


def draws_of_numpy(self: Any, x: Tensor) -> Tensor:
    y = self.act(self.dense(x))
    return x if np.random.random() < 0.2 else torch.tanh(y)


def helper_without_gradients(self: Any, x: Tensor) -> Tensor:
    return torch.tanh(self.act(self.dense(self.frozen(x))))


def asks_for_gradients(self: Any, x: Tensor) -> Tensor:
    y = self.act(self.dense(x))
    return torch.tanh(y) if torch.is_grad_enabled() else y


def helper_asks_for_types(self: Any, x: Tensor) -> Tensor:
    return torch.tanh(self.act(self.dense(self.first(x))))


def may_be_none(self: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    y = torch.tanh(self.act(self.dense(x)))
    return y * 2 if mask is None else y * mask


def any_number(self: Any, x: Tensor, *rest: Tensor, flag: float = 1.0) -> Tensor:
    return torch.tanh(self.act(self.dense(x))) * flag


def looks_up(self: Any, x: Tensor, name: str = "a") -> Tensor:
    y = self.act(self.dense(x))
    return torch.tanh(y) if name in {"a": 1} else y


def drops_out(self: Any, x: Tensor) -> Tensor:
    return torch.tanh(F.dropout(self.act(self.dense(x)), 0.5, self.training))


def catches(self: Any, x: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            y = self.dense(x)
    finally:
        self.seen.append(1)
    return torch.tanh(self.act(y))


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        (counts, ()),
        (counts_in_place, ()),
        (collects, ()),
        (draws, ()),
        (draws_of_python, ()),
        (draws_of_numpy, ()),
        (helper_without_gradients, ()),
        (asks_for_gradients, ()),
        (helper_asks_for_types, ()),
        (may_be_none, (None,)),
        (may_be_none, (torch.ones(4),)),
        (any_number, ()),
        (looks_up, ("b",)),
        (drops_out, ()),
        (catches, ()),
    ],
)
def test_all_else_that_a_forward_does_stays(forward: Any, inputs: tuple[Any, ...]) -> None:
    module, original, x = net(forward), net(forward), torch.randn(3, 4)
    original.dense.load_state_dict(module.dense.state_dict())
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    adalinize(module, log=None, example_input=(torch.ones(3, 4), *inputs))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), str(np.random.get_state())) == states[1:]
    assert (module.count, module.seen) == (0, [])
    assert isinstance(module.act, AdaLin)
    for training, seed in product((True, False), range(4)):
        results = []
        for each in (module, original):
            each.train(training)
            torch.manual_seed(seed), random.seed(seed), np.random.seed(seed)
            out, gradient = each(x, *inputs), None
            if out.requires_grad:
                (gradient,) = torch.autograd.grad(out.sum(), each.dense.weight, allow_unused=True)
            results.append((out, gradient))
        torch.testing.assert_close(*results, rtol=0, atol=0)
    assert (module.count, module.seen) == (original.count, original.seen)


def test_a_changed_buffer_of_the_graph_is_changed() -> None:
    def moves(self: Any, x: Tensor) -> Any:
        self.count.mul_(0.5).add_(1)
        return F.relu(self.dense(x)) - self.count

    module, x = adalinize(net(moves), log=None), torch.zeros(1, 4)
    assert module.count == 0
    assert not torch.equal(module(x), module(x))
    assert module.count == 1.5


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.act = nn.Linear(3, 4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.dense(x))
        return torch.tanh(x) if x.sum() > 0 else self.act(x)


def test_an_untraceable_module_uses_the_example() -> None:
    module = Untraceable()
    lines: list[str] = []
    with pytest.raises(ValueError, match="`example_input`"):
        adalinize(module)
    assert type(module) is Untraceable
    assert type(module.act) is nn.ReLU
    adalinize(module, example_input=torch.randn(64, 3), log=lines.append)
    assert {n for n, p in module.named_modules() if isinstance(p, AdaLin)} == {"act", "tanh"}
    original = Untraceable()
    original.dense = module.dense
    for x in torch.randn(8, 1, 3):
        assert torch.equal(module(x), original(x))


def test_each_call_in_the_source_has_its_own_layer_but_a_loop_has_one() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.act = nn.Linear(4, 4), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = F.dropout(self.act(self.dense(x)), 0.5, self.training)
            x = self.act(input=self.dense(x))
            for _ in range(3):
                x = torch.tanh(self.dense(x))
            return x

    lines: list[str] = []
    module = adalinize(Net(), log=lines.append)
    names = {name for name, part in module.named_modules() if isinstance(part, AdaLin)}
    assert names == {"act", "act_1", "tanh"}
    assert lines[3:] == ["tanh is one AdaLin for 3 calls"]


def test_calls_that_cannot_be_told_apart_must_agree() -> None:
    class Net(Untraceable):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(2):
                x = self.act(x)
                x = self.dense(x) if x.shape[1] == 3 else x
            return x

    module = Net()
    with pytest.raises(ValueError, match="act is shared by layers of 3 and 4 units"):
        adalinize(module, example_input=torch.ones(1, 3))
    assert type(module.act) is nn.ReLU


@pytest.mark.parametrize("activation", [F.relu, F.gelu, nn.SiLU()], ids=["relu", "gelu", "module"])
@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
def test_transformers_use_the_new_activation_in_every_mode(kind: Any, activation: Any) -> None:
    layer = kind(8, 2, 16, 0.0, copy.deepcopy(activation), batch_first=True)
    inputs = [torch.randn(2, 3, 8) for _ in range(1 + (kind is nn.TransformerDecoderLayer))]
    before = layer(*inputs)
    adalinize(layer, log=None)
    assert widths(layer) == [16]
    assert torch.equal(layer(*inputs), before)
    torch.nn.init.constant_(layer.activation.alpha, 0.5)
    train = layer(*inputs)
    assert not torch.equal(train, before)
    for twin in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin.eval()(*inputs), train)
        with torch.no_grad():  # where the fast path would be taken; its attention rounds otherwise
            torch.testing.assert_close(twin(*inputs), train)


def test_a_transformer_encoder_with_padding() -> None:
    encoder = nn.TransformerEncoder(encoder_layer(), 2)
    x, padding = torch.randn(2, 3, 8), torch.tensor([[False, False, True], [False] * 3])
    adalinize(encoder, init=0.5, log=None)
    train = encoder(x, src_key_padding_mask=padding)
    with torch.no_grad():
        out = encoder.eval()(x, src_key_padding_mask=padding)
    torch.testing.assert_close(out, train)


def test_a_function_in_an_attribute_is_called_as_a_module() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.act = nn.Linear(3, 4), torch.tanh

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.dense(x))

    module, x = Net(), torch.randn(2, 3)
    before = module(x)
    assert torch.equal(adalinize(module, log=None)(x), before)
    assert isinstance(module.act, AdaLin)
    with pytest.raises(TypeError):  # and not silently without effect
        module.act = torch.exp
    unchanged = Net()
    with pytest.raises(ValueError, match="`base` should match"):
        adalinize(unchanged, "relu")
    with pytest.raises(ValueError, match="granularity"):
        adalinize(unchanged, granularity="nueron")
    assert vars(unchanged)["act"] is torch.tanh


def net(forward: Callable[..., Any], act: Any = None) -> Any:
    """A network with that forward."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.act = nn.Linear(4, 4), act or nn.ReLU()
            self.register_buffer("count", torch.zeros(()))
            self.seen: list[object] = []

        @torch.no_grad()
        def frozen(self, x: Tensor) -> Tensor:
            return self.dense(x)  # type: ignore[no-any-return]

        def first(self, x: Any) -> Any:
            return x[0] if isinstance(x, tuple) else x

    Net.forward = forward
    return Net()


def in_place(forward: Callable[..., Any]) -> Any:
    return net(forward, nn.ReLU(inplace=True))


def slices(self: Any, x: Tensor) -> Tensor:
    y: Tensor = self.dense(x)
    y[:, :2].relu_()
    return y


def views(self: Any, x: Tensor) -> Tensor:
    y: Tensor = self.dense(x)
    self.act(y.view(-1, 2))
    return y


def chunks(self: Any, x: Tensor) -> Tensor:
    a, b = self.dense(x).chunk(2, 1)
    return torch.cat([self.act(a), b], 1)


def read_again(self: Any, x: Tensor) -> Any:
    y: Tensor = self.dense(x)
    return self.dense(self.act(y)) + y


def of_the_caller(self: Any, x: Tensor) -> Any:
    return self.dense(self.act(x)) + 1


def not_traced(self: Any, x: Tensor) -> Tensor:
    y: Tensor = self.dense(x)
    if x.sum() < 1e9:
        self.act(y)
    return y


@pytest.mark.parametrize("forward", [slices, views, chunks, read_again, of_the_caller, not_traced])
def test_writing_in_place_is_refused(forward: Any) -> None:
    module = in_place(forward)
    with pytest.raises(ValueError, match="changes its input in place.*set its `inplace` to False"):
        adalinize(module, example_input=torch.ones(2, 4))
    assert isinstance(module.act, nn.ReLU)
    body = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4))
    with pytest.raises(ValueError, match="the activation 0 changes its input in place"):
        adalinize(body)


def of_a_sum(self: Any, x: Tensor) -> Any:
    y: Tensor = self.dense(x)
    y += x
    return self.dense(F.dropout(self.act(y), 0.5, self.training))


def of_layers(self: Any, x: Tensor) -> Tensor:
    return torch.relu_(self.dense(self.act(self.dense(x)))) + x


@pytest.mark.parametrize("forward", [of_a_sum, of_layers])
def test_writing_in_place_into_a_new_tensor(forward: Any) -> None:
    module, x = in_place(forward).eval(), torch.randn(3, 4)
    before = module(x)
    assert torch.equal(adalinize(module, log=None)(x), before)
    assert widths(module) == [4] * (1 + (forward is of_layers))


def test_a_call_that_the_example_misses() -> None:
    class Act(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.silu(x)

    class Net(Untraceable):
        def __init__(self) -> None:
            super().__init__()
            self.rare = Act()

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.dense(x))
            if x.sum() > 1e9:
                x = self.rare(x)
            return x

    module, lines = Net(), []  # type: ignore[var-annotated]
    adalinize(module, example_input=torch.ones(1, 3), log=lines.append)
    assert widths(module) == [4]
    assert lines[1:] == ["rare.silu is kept: the example misses it"]
    x = torch.randn(2, 3)
    assert torch.equal(module.rare(x), F.silu(x))


def test_shared_blocks_and_module_lists() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
            self.acts = nn.ModuleList([nn.ReLU()])

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = self.acts[0](layer(x))
            return x

    module, x = Net(), torch.randn(2, 4)
    before = module(x)
    assert torch.equal(adalinize(module, log=None)(x), before)
    assert len(module.acts) == 1
    assert {n for n, p in module.named_modules() if isinstance(p, AdaLin)} == {"acts.0"}
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())  # shared weights have shared neurons
    assert widths(adalinize(nn.Sequential(block, block), log=None)) == [4]


def test_broadcasting_does_not_hide_the_width() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(3, 4), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.narrow(x) * self.wide(x))

    assert widths(adalinize(Net(), log=None)) == [4]


def with_settings(self: Any, x: Tensor) -> Any:
    return self.gelu(self.dense(x), approximate="tanh")


def through_a_partial(self: Any, x: Tensor) -> Any:
    return self.leaky(self.dense(x))


def by_name(self: Any, x: Tensor) -> Any:
    return self.act(input=self.dense(x))


@pytest.mark.parametrize("forward", [with_settings, through_a_partial, by_name])
def test_calls_with_more_than_the_input(forward: Any) -> None:
    module, x = net(forward), torch.randn(3, 4)
    module.gelu, module.leaky = F.gelu, functools.partial(F.leaky_relu, negative_slope=0.3)
    before, lines = module(x), []  # type: ignore[var-annotated]
    both = nn.Sequential(module, nn.Tanh())
    assert torch.equal(adalinize(both, log=lines.append)[0](x), before)
    kept = [line for line in lines if "with settings that are computed" in line]
    assert len(kept) == (forward is not by_name)
    assert len(widths(module)) == (forward is by_name)


def one_of_two(self: Any, x: Tensor) -> Any:
    if self.training:
        return self.act(self.dense(x))
    return self.act(self.dense(x) + 1)


def function_on_two_ways(self: Any, x: Tensor) -> Any:
    x = self.act(self.dense(x))
    return F.silu(x) if self.training else F.silu(x - 1)


def in_place_on_a_rare_way(self: Any, x: Tensor) -> Tensor:
    y: Tensor = self.act(self.dense(x))
    if not self.training:
        F.tanh(y.add_(1)), torch.relu_(y)
    return y


def shadowed(self: Any, x: Tensor) -> Any:
    y = self.act(self.dense(x))
    return sum(tanh(y) for tanh in (torch.exp, torch.cos))


def in_place_in_a_chain(self: Any, x: Tensor) -> Any:
    y = self.act(self.dense(x))
    torch.relu_(y).tanh_()
    return y


def of_another_kind(self: Any, x: Tensor) -> Any:
    text = """two
            lines"""
    # old = F.tanh(x)
    return self.act(self.dense(x)) + len(text) + self.thing.tanh()


tanh = torch.tanh  # the global name that `shadowed` hides


class Thing:
    def tanh(self) -> float:
        return 2.0


@pytest.mark.parametrize(
    "forward",
    [
        one_of_two,
        function_on_two_ways,
        in_place_on_a_rare_way,
        shadowed,
        in_place_in_a_chain,
        of_another_kind,
    ],
)
def test_ways_and_names_that_a_careless_rewriting_would_miss(forward: Any) -> None:
    torch.manual_seed(0)
    module, original, x = net(forward), net(forward), 5 * torch.randn(64, 4)
    original.dense.load_state_dict(module.dense.state_dict())
    module.thing = original.thing = Thing()
    try:
        adalinize(module, log=None)
    except ValueError as error:
        assert "changes its input in place" in str(error)  # noqa: PT017
        assert forward in (in_place_on_a_rare_way, in_place_in_a_chain)
    for training in (True, False):
        assert torch.equal(module.train(training)(x), original.train(training)(x))
    assert len(widths(module)) <= 1  # the functions stay what they are
    if isinstance(module.act, AdaLin):
        with torch.no_grad():
            module.act.alpha.fill_(1)
        for training in (True, False):
            assert not torch.equal(module.train(training)(x), original.train(training)(x))


def test_a_source_that_was_edited_after_its_import_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "edited_later.py"
    text = "from torch.nn import functional as F\n\n\ndef forward(self, x):\n"
    file.write_text(text + "    return F.relu(self.act(self.dense(x)))\n")
    spec = importlib.util.spec_from_file_location("edited_later", file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    module, x, lines = net(loaded.forward), torch.randn(3, 4), []  # type: ignore[var-annotated]
    before = module(x)
    file.write_text(text + "    return F.relu(self.act(self.dense(x))) - 5\n")
    linecache.checkcache()
    adalinize(module, log=lines.append)
    assert torch.equal(module(x), before)
    assert any("has another source now" in line for line in lines)


def test_a_new_one_of_a_converted_class_is_as_it_was() -> None:
    module = adalinize(NatureCNN(), log=None)
    fresh = type(module)()
    assert type(fresh) is NatureCNN
    assert type(copy.deepcopy(module)) is type(module)


def test_a_named_input_in_a_forward_that_is_kept() -> None:
    module = net(lambda self, x, **kwargs: self.act(input=self.dense(x)))
    with pytest.raises(ValueError, match="act is called with a named argument: call it as f"):
        adalinize(module)


def test_activations_in_lists_tuples_and_dicts() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    module = net(forward)
    module.layers = [module.dense, module.act]
    module.pair, module.named = (module.act, 1), {"act": module.act}
    adalinize(module, log=None)
    held = (module.layers[1], module.pair[0], module.named["act"])
    assert all(layer is module.act for layer in held)
    module(torch.randn(2, 4)).sum().backward()
    assert module.act.alpha.grad is not None


def test_dim_is_for_more_than_two_axes() -> None:
    module = nn.Sequential(nn.Flatten(2), nn.ReLU(), nn.Flatten(), nn.Tanh())
    adalinize(module, example_input=torch.randn(2, 3, 4, 5), dim=-2, log=None)
    assert widths(module) == [3, 60]
    with pytest.raises(ValueError, match="axis of the units at 1, above -3 .*Received -3"):
        adalinize(
            nn.Sequential(nn.Flatten(2), nn.ReLU()), example_input=torch.ones(2, 3, 1, 1), dim=-3
        )


def test_more_than_two_axes_need_dim_where_they_are_measured() -> None:
    def dense_block(self: Any, x: Tensor) -> Tensor:
        return torch.relu(self.pool(torch.cat([self.conv(x), x], 1)))

    module: Any = net(dense_block)
    module.conv, module.pool = nn.Conv2d(3, 5, 1), nn.MaxPool2d(2)
    stack = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2), module)
    adalinize(stack, example_input=torch.randn(2, 3, 6, 6), dim=-3, log=None)
    assert (module.relu.dim, module.relu.num_features) == (-3, 8)

    def heads(self: Any, x: Tensor) -> Tensor:
        return F.silu(self.dense(x).view(2, -1, 2, 2))

    with pytest.raises(ValueError, match="`dim` should be the axis of the units at silu"):
        adalinize(net(heads), example_input=torch.randn(2, 5, 4))


def functions(self: Any, x: Tensor) -> Tensor:
    return F.relu(self.dense(x))


def parametrized() -> nn.Module:
    module = net(functions)
    module.weight = nn.Parameter(torch.ones(4))
    parametrize.register_parametrization(module, "weight", nn.Identity())
    return module  # type: ignore[no-any-return]


def test_parametrized_modules_are_ones_own() -> None:
    module, x = nn.Sequential(parametrized(), nn.Tanh()), torch.randn(3, 4)
    before = module(x)
    assert torch.equal(adalinize(module, log=None)(x), before)
    assert widths(module) == [4, 4]
    assert torch.equal(copy.deepcopy(module)(x), before)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_compiled_modules_are_kept() -> None:
    compiled = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    module, lines = nn.Sequential(compiled, nn.Linear(4, 3), nn.ReLU()), []  # type: ignore[var-annotated]
    adalinize(module, log=lines.append)
    assert widths(module) == [3]
    assert lines[1:] == ["0 is kept: torch.jit has compiled it"]
    broken = nn.Sequential(compiled, nn.Flatten(), nn.ReLU())
    with pytest.raises(ValueError, match="the width at 2 can't be read"):
        adalinize(broken)
    assert broken(torch.ones(1, 4)).shape == (1, 4)


def test_what_is_not_among_the_bases_is_told() -> None:
    layers = (nn.Linear(4, 4), nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.ReLU6(), nn.Softmax(-1))
    lines: list[str] = []
    adalinize(nn.Sequential(*layers, nn.GRU(4, 4)), log=lines.append)
    kept = "GRU (1), Hardswish (1), ReLU6 (2)"
    assert lines[1:] == [f"kept: {kept}, which are not among the bases"]


class Gated(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.glu(super().forward(x))


class Shifted(nn.ReLU):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0.5)


def test_subclasses_with_a_forward_of_their_own() -> None:
    with pytest.raises(ValueError, match="the width at 1 can't be read"):
        adalinize(nn.Sequential(Gated(4, 8), nn.ReLU()))
    module = nn.Sequential(Gated(4, 8), nn.ReLU(), nn.Linear(4, 4), Shifted())
    lines: list[str] = []
    adalinize(module, nn.ReLU, to="relu", example_input=torch.ones(1, 4), log=lines.append)
    assert [type(part) for part in module][1::2] == [AdaLin, AdaLin]  # asked for by type
    assert base_of(Shifted()) is None
    module = nn.Sequential(nn.Linear(4, 4), Shifted(), nn.Tanh())
    adalinize(module, example_input=torch.ones(1, 4), log=lines.append)
    assert widths(module) == [4]
    assert type(module[1]) is Shifted


def test_norms_behind_convolutions_keep_their_axis() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 1), nn.LayerNorm(7), nn.ReLU())
    sites, _ = replace_activations(module, lambda site: nn.Identity())
    assert sites == (Site("2", "relu", 5, -3),)


def test_a_slope_below_one_keeps_its_lipschitz_constant() -> None:
    for layer, constant in ((nn.LeakyReLU(0.2), 1.0), (nn.LeakyReLU(2.0), 2.0), (nn.ELU(3.0), 3.0)):
        base = base_of(layer)
        assert base is not None
        assert base.lipschitz == constant


def test_one_alpha_for_the_layers_of_one_call() -> None:
    module = mlp()
    adalinize(module, "relu", granularity="network", init=0.75, log=None)
    adalinize(module, "tanh", granularity="network", init=0.25, log=None)
    assert [float(p) for n, p in module.state_dict().items() if "alpha" in n] == [0.75, 0.25]
    parts = nn.ModuleDict({"seeds": Torso((4,), (2,), Architecture((8,), "relu")), "one": mlp()})
    with pytest.raises(ValueError, match="the same leading axes"):
        adalinize(parts, granularity="network")
    assert widths(parts) == []


@pytest.mark.parametrize("base", [nn.ReLU(), F.relu, 5, [[]], [nn.ReLU()], [None]])
def test_bad_filters(base: Any) -> None:
    with pytest.raises(ValueError, match="`base` should be one of relu, .*Received") as error:
        adalinize(mlp(), base)
    assert "\n" not in str(error.value)


def test_a_wrong_width_names_the_layer_and_both_widths() -> None:
    body = adalinize(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), log=None)
    body[0] = nn.Linear(3, 5)
    message = "AdaLin over 'tanh' at 1 was made for 4 units. Received 5 on axis -1"
    with pytest.raises(ValueError, match=message):
        body(torch.ones(2, 3))


def test_twice() -> None:
    module, x = NatureCNN(), torch.randn(1, 4, 36, 36)
    adalinize(module, log=None)
    with pytest.raises(ValueError, match="which has AdaLin"):
        adalinize(module)
    assert pickle.loads(pickle.dumps(module))(x).shape == (1, 16)


def test_errors() -> None:
    with pytest.raises(ValueError, match="`module` should contain activations. Received an activ"):
        adalinize(nn.ReLU())
    with pytest.raises(ValueError, match=r"`base` should match.*has ReLU, Tanh. Received 'gelu'"):
        adalinize(mlp(), "gelu")
    with pytest.raises(ValueError, match=r"Received 'geluu' \(did you mean 'gelu'\?\)"):
        adalinize(mlp(), "geluu")
    with pytest.raises(ValueError, match=r"`to` should be .*did you mean 'tanh'"):
        adalinize(mlp(), to="tahn")
    with pytest.raises(ValueError, match="`dim` counts from the last axis"):
        adalinize(mlp(), dim=1)
    with pytest.raises(ValueError, match="has none"):
        adalinize(nn.Linear(2, 2))
    module = mlp()
    with pytest.raises(ZeroDivisionError):
        replace_activations(module, lambda site: nn.PReLU(int(1 / (site.num_features - 6))))
    assert isinstance(module[1], nn.ReLU)
