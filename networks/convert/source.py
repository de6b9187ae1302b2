"""A forward whose activations are all modules of their own, written in its source.

``F.relu(x)`` becomes ``self.relu(x)``, and the second ``self.act(x)`` becomes ``self.act_1(x)``.
Nothing else changes: branches, contexts and random numbers stay what they are.
"""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import linecache
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import count
from types import CodeType
from typing import Any

import torch
from torch import fx, nn

from networks.convert.known import NAMES, Call, Filter, Found, known_function

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_WAYS = (*_LOOPS, ast.Lambda, ast.FunctionDef, ast.If, ast.IfExp, ast.Try, ast.Match, ast.BoolOp)
"""What is not gone through exactly once: there each activation keeps the module that it has."""


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
    tree.body = [writer.visit(statement) for statement in tree.body]
    if writer.several_ways:
        raise UnwritableError("calls an activation in several ways")
    for name in writer.attributes:
        del vars(module)[name]
    for name, new in (writer.attributes | writer.new).items():
        module.add_module(name, new)
    if writer.changed:
        base = vars(type(module)).get("written_from", type(module))
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
        text = inspect.getsource(forward)
        block: Any = ast.parse(f"if 1:\n{text}" if text[0].isspace() else text).body[0]
    except (OSError, SyntaxError) as error:
        raise UnwritableError("has no source") from error
    tree = block.body[0] if isinstance(block, ast.If) else block
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list or not _arguments(tree):
        raise UnwritableError("is no plain method")
    names = [name for part in ast.walk(tree) for name in _names(part)]
    if any(name[:2] == "__" != name[-2:] for name in names):
        raise UnwritableError("uses names that are private to its class")
    if not _same_code(_compiled(ast.unparse(tree), "<forward>"), forward.__code__):
        raise UnwritableError("has another source now")
    return tree


def _arguments(tree: ast.FunctionDef) -> list[ast.arg]:
    return [*tree.args.posonlyargs, *tree.args.args]


def _names(part: ast.AST) -> list[str]:
    names = [getattr(part, field, None) for field in ("id", "attr", "arg", "name")]
    return [name for name in names if isinstance(name, str)]


def _bound(tree: ast.AST) -> Iterator[str]:
    """The names that are given values somewhere in a function, or in functions inside it."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            yield part.id
        elif isinstance(part, ast.alias):
            yield (part.asname or part.name).split(".")[0]
        elif not isinstance(part, ast.Name | ast.Attribute | ast.keyword):
            yield from _names(part)


def _compiled(source: str, file: str) -> CodeType:
    """The code of the function that a source defines."""
    module = compile(source, file, "exec", dont_inherit=True)
    return next(part for part in module.co_consts if isinstance(part, CodeType))


_CALLS = (
    "LOAD_GLOBAL",
    "LOAD_METHOD",
    "LOAD_ATTR",
    "PRECALL",
    "CALL",
    "PUSH_NULL",
    "KW_NAMES",
    "EXTENDED_ARG",
)


def _same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two functions do the same, but for how their calls are compiled: by the imports."""

    def steps(code: CodeType) -> list[Any]:
        found: list[Any] = [code.co_names, code.co_varnames]
        for step in dis.get_instructions(code):
            value = step.argval if step.opcode not in dis.hasjrel else None
            if step.opname not in _CALLS and not isinstance(value, CodeType):
                found.append((step.opname, repr(value)))
        return found

    inner = [[c for c in code.co_consts if isinstance(c, CodeType)] for code in (one, other)]
    same = steps(one) == steps(other) and len(inner[0]) == len(inner[1])
    return same and all(map(_same_code, *inner))


class _Writer(ast.NodeTransformer):
    def __init__(self, module: nn.Module, wanted: Filter, tree: ast.FunctionDef) -> None:
        self.module, self.wanted = module, wanted
        self.me = _arguments(tree)[0].arg
        forward: Any = type(module).forward
        bound = list(_bound(tree))
        if bound.count(self.me) > 1:
            raise UnwritableError(f"gives {self.me} another value")
        self.scope = {k: v for k, v in forward.__globals__.items() if k not in bound}
        self.scope[self.me] = module
        stored = (part for part in ast.walk(tree) if isinstance(part, ast.Attribute))
        self.stored = {part.attr for part in stored if not isinstance(part.ctx, ast.Load)}
        self.inside = set(module.modules())
        self.taken = {*vars(module), *dir(type(module)), *module._modules}
        self.taken |= {*module._parameters, *module._buffers}
        self.new: dict[str, nn.Module] = {}
        self.attributes: dict[str, nn.Module] = {}  # that hold functions until now
        self.met: Counter[object] = Counter()
        self.returns = sum(isinstance(part, ast.Return) for part in ast.walk(tree)) > 1
        self.ways = self.loops = 0
        self.several_ways = False
        self.changed = False

    def visit(self, node: ast.AST) -> Any:
        way, loop = isinstance(node, _WAYS), isinstance(node, _LOOPS)
        self.ways, self.loops = self.ways + way, self.loops + loop
        result = super().visit(node)
        self.ways, self.loops = self.ways - way, self.loops - loop
        return result

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        function = self._value(node.func)
        if self._is_attribute(node, function):
            assert isinstance(node.func, ast.Attribute)
            call = Call(known_function(function, [], {}))
            if self.wanted.module(call):
                call.train(self.module.training)
                function = self.attributes.setdefault(node.func.attr, call)
                self.inside.add(function)
        if isinstance(function, nn.Module):
            return self._module(node, function)
        found, x = self._function(node, function)
        if found is None or x is None or found.name not in self.wanted.names:
            return node
        self.met[found.name] += 1
        way = self.returns or self.ways > self.loops
        self.several_ways |= way and self.met[found.name] > 1
        self.met[found.name] += way  # and none that comes later
        return self._call(self._add(found.name.replace("-", "_"), 0, Call(found)), x)

    def _is_attribute(self, node: ast.Call, function: Any) -> bool:
        """Whether an attribute of the module holds a function that is called with one input."""
        attribute = isinstance(node.func, ast.Attribute) and node.func.attr in vars(self.module)
        known = attribute and inspect.isroutine(function) and function in NAMES
        plain = len(node.args) == 1 and not node.keywords
        return known and plain and not isinstance(node.args[0], ast.Starred)

    def _value(self, node: ast.expr) -> Any:
        """What a dotted name stands for, as far as that can be read without running the forward."""
        if isinstance(node, ast.Name):
            return self.scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            if inspect.ismodule(owner):
                return vars(owner).get(node.attr)
            if isinstance(owner, nn.Module) and node.attr not in self.stored:
                # Not getattr: a property may have another value at each call.
                return vars(owner).get(node.attr, owner._modules.get(node.attr))
        return None

    def _function(self, node: ast.Call, function: Any) -> tuple[Found | None, ast.expr | None]:
        """The activation that is called as a function or a method, and its input."""
        inputs = [*node.args, *(word.value for word in node.keywords if word.arg == "input")]
        if any(isinstance(value, ast.Starred) for value in inputs):
            return None, None
        if function is None and isinstance(node.func, ast.Attribute) and not node.keywords:
            method = node.func.attr
            owner = self._value(node.func.value)
            known = method in NAMES and not node.args and (owner is None or torch.is_tensor(owner))
            return (known_function(method, [], {}), node.func.value) if known else (None, None)
        if not inspect.isroutine(function) or function not in NAMES or not inputs:
            return None, None
        if isinstance(node.func, ast.Attribute) and node.func.attr in vars(self.module):
            return None, None  # an attribute, which may be set anew
        try:
            extra = [ast.literal_eval(value) for value in node.args[1:]]
            words = {
                str(w.arg): ast.literal_eval(w.value) for w in node.keywords if w.arg != "input"
            }
        except ValueError:
            return None, None
        return known_function(function, extra, words), inputs[0]

    def _module(self, node: ast.Call, module: nn.Module) -> ast.Call:
        """Gives the second call of an activation, and each after it, a module of its own."""
        inputs = [*node.args, *(word.value for word in node.keywords)]
        starred = any(isinstance(value, ast.Starred) for value in inputs)
        starred |= any(word.arg is None for word in node.keywords)
        known = self.wanted.module(module) and module in self.inside
        if not known or len(inputs) != 1 or starred:
            return node
        self.met[module] += 1
        if self.met[module] > 1 and not self.ways and not self.returns:
            stem = ast.unparse(node.func).split(".", 1)[1].replace(".", "_")
            return self._call(self._add(stem, 1, copy.copy(module)), inputs[0])
        self.changed |= bool(node.keywords)
        return ast.Call(node.func, inputs, [])

    def _add(self, stem: str, first: int, module: nn.Module) -> str:
        names = (f"{stem}_{i}" if i else stem for i in count(first))
        name = next(n for n in names if n not in self.new and n not in self.taken)
        self.new[name] = module.train(self.module.training)
        self.changed = True
        return name

    def _call(self, name: str, x: ast.expr) -> ast.Call:
        me = ast.Name(self.me, ast.Load())
        return ast.Call(ast.Attribute(me, name, ast.Load()), [x], [])


@cache
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
        return _blank, (base, source), self.__getstate__()

    names = {key: getattr(base, key) for key in ("__module__", "__qualname__", "__doc__")}

    def new(cls: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
        return base(*args, **kwargs)  # a new one has the functions, and the forward that calls them

    changes = {"forward": forward, "__reduce_ex__": reduce, "written_from": base, "__new__": new}
    return type(base.__name__, (base,), names | changes)


def _blank(base: type[nn.Module], source: str) -> nn.Module:
    return object.__new__(_written(base, source))  # type: ignore[arg-type]  # a class is hashable
