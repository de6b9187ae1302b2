"""What a forward does, as a graph in which widths can be read."""

from __future__ import annotations

from torch import fx, nn

from networks.convert.known import torch_class
from networks.convert.state import undisturbed


class _Tracer(fx.Tracer):
    """Traces one module alone: its children are leaves."""

    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def trace(module: nn.Module) -> fx.Graph | None:
    """The graph of one way through the forward of a module, if ``torch.fx`` can follow it."""
    if torch_class(module) is nn.Sequential:
        return _chain(module)
    try:
        with undisturbed(module, training=module.training):
            return _Tracer().trace(module)
    except Exception:  # whatever a forward raises when it is given stand-ins for tensors
        return None


def _chain(module: nn.Module) -> fx.Graph:
    """The graph of ``nn.Sequential``, whose forward is known."""
    graph = fx.Graph()
    node = graph.placeholder("input")
    for name in module._modules:
        node = graph.create_node("call_module", name, (node,))
    graph.output(node)
    return graph
