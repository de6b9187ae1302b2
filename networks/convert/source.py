"""A forward whose activations are all modules of their own, written in its source.

``F.relu(x)`` becomes ``self.relu(x)``, and the second ``self.act(x)`` becomes ``self.act_1(x)``.
Nothing else changes: branches, contexts and random numbers stay what they are.
"""

from __future__ import annotations

import ast
import copy
import inspect
import linecache
import textwrap
from collections import Counter
from functools import partial
from itertools import count
from typing import Any

from torch import fx, nn

from networks.convert.known import NAMES, Call, Filter, Found, known_function

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.Lambda, ast.FunctionDef)


class UnwritableError(Exception):
    """A forward can't be written anew; the message says why."""


def give_modules(module: nn.Module, wanted: Filter) -> dict[str, nn.Module]:
    """Gives each ``wanted`` activation in the forward of a module a module of its own, in place.

    Returns:
        The stand-ins that were added, by name.

    Raises:
        UnwritableError: If there may be such activations but the source can't be changed.
    """
    tree = _source(module)
    writer = _Writer(module, wanted, tree)
    body = [writer.visit(statement) for statement in tree.body]
    if not writer.changed:
        return {}
    tree.body = body
    for name, new in writer.new.items():
        module.add_module(name, new)
    base = getattr(type(module), "written_from", type(module))
    module.__class__ = _written(base, ast.unparse(ast.fix_missing_locations(tree)))
    return writer.new


def _source(module: nn.Module) -> ast.FunctionDef:
    forward: Any = type(module).forward
    if "forward" in vars(module):
        raise UnwritableError("is set on the instance")
    if isinstance(module, fx.GraphModule):
        raise UnwritableError("is that of a torch.fx.GraphModule")
    if inspect.unwrap(forward) is not forward or not hasattr(forward, "__code__"):
        raise UnwritableError("is decorated")
    if forward.__code__.co_freevars:
        raise UnwritableError(f"uses {', '.join(forward.__code__.co_freevars)} from around it")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward))).body[0]
    except (OSError, SyntaxError) as error:
        raise UnwritableError("has no source") from error
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list or not tree.args.args:
        raise UnwritableError("is no plain method")
    for part in ast.walk(tree):
        if isinstance(part, ast.Attribute) and part.attr[:2] == "__" != part.attr[-2:]:
            raise UnwritableError("uses names that are private to its class")
    return tree


class _Writer(ast.NodeTransformer):
    def __init__(self, module: nn.Module, wanted: Filter, tree: ast.FunctionDef) -> None:
        self.module, self.wanted = module, wanted
        self.me = tree.args.args[0].arg
        forward: Any = type(module).forward
        local = forward.__code__.co_varnames
        self.scope = {k: v for k, v in forward.__globals__.items() if k not in local}
        self.scope[self.me] = module
        self.new: dict[str, nn.Module] = {}
        self.met: Counter[nn.Module] = Counter()
        self.depth = 0
        self.changed = False

    def visit(self, node: ast.AST) -> Any:
        self.depth += isinstance(node, _LOOPS)
        result = super().visit(node)
        self.depth -= isinstance(node, _LOOPS)
        return result

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        function = self._value(node.func)
        if isinstance(function, nn.Module):
            return self._module(node, function)
        found, x = self._function(node, function)
        if found is None or x is None or found.name not in self.wanted.names:
            return node
        return self._call(self._add(found.name.replace("-", "_"), 0, Call(found)), x)

    def _value(self, node: ast.expr) -> Any:
        """What a dotted name stands for, as far as that can be read without running the forward."""
        if isinstance(node, ast.Name):
            return self.scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            held = isinstance(owner, nn.Module) or inspect.ismodule(owner)
            return getattr(owner, node.attr, None) if held else None
        return None

    def _function(self, node: ast.Call, function: Any) -> tuple[Found | None, ast.expr | None]:
        """The activation that is called as a function or a method, and its input."""
        inputs = [*node.args, *(word.value for word in node.keywords if word.arg == "input")]
        if any(isinstance(value, ast.Starred) for value in inputs):
            return None, None
        if function is None and isinstance(node.func, ast.Attribute) and not node.keywords:
            method = node.func.attr
            known = method in NAMES and not node.args
            return (known_function(method, [], {}), node.func.value) if known else (None, None)
        settings = function.keywords if isinstance(function, partial) else {}
        if isinstance(function, partial) and not function.args:
            function = function.func
        if not inspect.isroutine(function) or function not in NAMES or not inputs:
            return None, None
        try:
            extra = [ast.literal_eval(value) for value in node.args[1:]]
            words = {
                str(w.arg): ast.literal_eval(w.value) for w in node.keywords if w.arg != "input"
            }
        except ValueError:
            return None, None
        return known_function(function, extra, settings | words), inputs[0]

    def _module(self, node: ast.Call, module: nn.Module) -> ast.Call:
        """Gives the second call of an activation, and each after it, a module of its own."""
        inputs = [*node.args, *(word.value for word in node.keywords)]
        starred = any(isinstance(value, ast.Starred) for value in inputs)
        if not self.wanted.module(module) or len(inputs) != 1 or starred or self.depth:
            return node
        self.met[module] += 1
        if self.met[module] > 1:
            stem = ast.unparse(node.func).split(".", 1)[1].replace(".", "_")
            return self._call(self._add(stem, 1, copy.copy(module)), inputs[0])
        self.changed |= bool(node.keywords)
        return ast.Call(node.func, inputs, [])

    def _add(self, stem: str, first: int, module: nn.Module) -> str:
        names = (f"{stem}_{i}" if i else stem for i in count(first))
        name = next(n for n in names if n not in self.new and not hasattr(self.module, n))
        self.new[name] = module.train(self.module.training)
        self.changed = True
        return name

    def _call(self, name: str, x: ast.expr) -> ast.Call:
        me = ast.Name(self.me, ast.Load())
        return ast.Call(ast.Attribute(me, name, ast.Load()), [x], [])


def _written(base: type[nn.Module], source: str) -> type[nn.Module]:
    """A subclass of the same name with the forward of a source."""
    old: Any = base.forward
    tree = ast.parse(source)
    head = tree.body[0]
    assert isinstance(head, ast.FunctionDef)
    every = (*head.args.posonlyargs, *head.args.args, *head.args.kwonlyargs)
    for argument in (*every, head.args.vararg, head.args.kwarg):
        if argument is not None:
            argument.annotation = None
    head.returns = None
    head.args.defaults = [ast.Constant(None) for _ in head.args.defaults]
    head.args.kw_defaults = [d and ast.Constant(None) for d in head.args.kw_defaults]
    code = ast.unparse(ast.fix_missing_locations(tree))
    file = f"<{base.__qualname__}.forward, {hash(code)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    scope: dict[str, Any] = {}
    exec(compile(code, file, "exec"), old.__globals__, scope)
    forward = scope[head.name]
    forward.__defaults__, forward.__kwdefaults__ = old.__defaults__, old.__kwdefaults__

    def reduce(self: nn.Module, protocol: object) -> Any:  # pickle knows classes only by name
        return _blank, (base, code), self.__getstate__()

    names = {key: getattr(base, key) for key in ("__module__", "__qualname__", "__doc__")}
    changes = {"forward": forward, "__reduce_ex__": reduce, "written_from": base}
    return type(base.__name__, (base,), names | changes)


def _blank(base: type[nn.Module], source: str) -> nn.Module:
    cls = _written(base, source)
    return cls.__new__(cls)
