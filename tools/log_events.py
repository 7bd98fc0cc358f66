"""Finds the service's log events in its code: name, levels and fields, by the syntax tree."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LOGGERS: Final = ("log", "_log")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnreadableEventError(Exception):
    """A log call whose event's name this program cannot find; the text says where."""


@dataclass
class LogEvent:
    """One event, by all the calls that log it."""

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)
    """In the order of the calls."""


def find(*folders: Path) -> dict[str, LogEvent]:
    """Every event that the modules of these folders log, by name.

    Raises:
        UnreadableEventError: a call logs what is no constant, nor a parameter that is given constants.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for one in folders for path in sorted(one.rglob("*.py"))}
    events: dict[str, LogEvent] = {}
    functions = {node.name: node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, Function)}
    for path, tree in trees.items():
        for function in _outermost(tree):
            scope = _Scope(list(trees.values()), function, functions)
            for name, level, fields in _logged(scope, path):
                event = events.setdefault(name, LogEvent())
                event.levels.add(level)
                event.fields.update(dict.fromkeys(fields))
    return dict(sorted(events.items()))


def _outermost(node: ast.AST) -> Iterator[Function]:
    """The functions that are in no other one; what is inside them may use their names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child
        else:
            yield from _outermost(child)


def _logged(scope: "_Scope", path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for node in ast.walk(scope.function):
        if isinstance(node, ast.Dict) and (name := _event_of(node)) is not None:
            yield name, scope.level(), [key for key in scope.keys(node) if key != "event"]
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
            continue
        owner = node.func.value
        if (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")) not in LOGGERS:
            continue
        fields = [key for one in node.keywords for key in ([one.arg] if one.arg else scope.keys(one.value))]
        names = scope.texts(node.args[0])
        if not names:
            raise UnreadableEventError(f"{path}:{node.lineno}: the name of this event is no constant")
        yield from ((name, node.func.attr, fields) for name in names)


def _event_of(node: ast.Dict) -> str | None:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.Constant):
            return str(value.value)
    return None


@dataclass
class _Scope:
    """A function, and where the values of its names may come from."""

    modules: list[ast.Module]
    function: Function
    functions: dict[str, Function]

    def level(self) -> str:
        """The first level that the function names."""
        constants = (node.value for node in ast.walk(self.function) if isinstance(node, ast.Constant))
        return next(str(value) for value in constants if value in LEVELS)

    def texts(self, node: ast.expr) -> list[str]:
        """The texts that an expression may be."""
        return [one.value for one in self._values(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]

    def keys(self, node: ast.expr) -> list[str]:
        """The keys of the dicts that an expression may be."""
        keys = [key for one in self._values(node) if isinstance(one, ast.Dict) for key in one.keys]
        return [str(key.value) for key in keys if isinstance(key, ast.Constant)]

    def _values(self, node: ast.expr) -> Iterator[ast.expr]:
        match node:
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._values(body)
                yield from self._values(orelse)
            case ast.Name(id=name):
                yield from self._assigned(name)
                yield from self._passed(name)
            case ast.Call(func=func):
                called = self.functions.get(func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", ""))
                if called is not None:
                    returned = (one.value for one in ast.walk(called) if isinstance(one, ast.Return))
                    yield from (value for value in returned if value is not None)
            case _:
                yield node

    def _assigned(self, name: str) -> Iterator[ast.expr]:
        for node in ast.walk(self.function):
            if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
                yield from self._values(node.value)

    def _passed(self, name: str) -> Iterator[ast.expr]:
        """What calls of this function, in any module, pass as this parameter."""
        parameters = [one.arg for one in self.function.args.args if one.arg != "self"]
        if name not in parameters:
            return
        for node in (one for module in self.modules for one in ast.walk(module)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called == self.function.name:
                yield from node.args[parameters.index(name) : parameters.index(name) + 1]
                yield from (one.value for one in node.keywords if one.arg == name)
