"""Whether a function can be found from here, without importing anything: a misspelt name otherwise fails in the worker.

Importing would run the application's code in a command that only stores a name. The source says nearly as much.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib.util
import os
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder

__all__ = ['find_fault']


def find_fault(function: str) -> str | None:
    """Return why a function cannot be found on this process's path, None if it can or if that cannot be told.

    Args:
        function: its dotted name.
    """
    parts = function.split('.')
    if not all(part.isidentifier() for part in parts):
        return f'{function!r} is not the dotted name of a function, such as app.tasks.send'
    if len(parts) == 1:
        is_builtin = hasattr(builtins, function)
        return None if is_builtin else f'{function} names no module; write it as module.{function}'
    try:
        return _look(parts)
    except (ImportError, ValueError, OSError, KeyError):
        # Whoever imports it learns why. A KeyError: of a namespace in a package, only the imported package says more.
        return None


def _look(parts: list[str]) -> str | None:
    spec = importlib.util.find_spec(parts[0])
    if spec is None:
        return f'there is no module {parts[0]} in {os.getcwd()} or elsewhere on the path'
    name, rest = parts[0], parts[1:]
    while rest and spec.submodule_search_locations is not None:
        below = PathFinder.find_spec(f'{name}.{rest[0]}', list(spec.submodule_search_locations))
        if below is None:
            break
        spec, name, rest = below, f'{name}.{rest[0]}', rest[1:]
    if not rest:
        return f'{name} is a module; write the function behind it, as in {name}.function'
    if spec.origin is None or not spec.origin.endswith('.py'):
        # A namespace has nothing but modules; of others there is no source.
        is_namespace = spec.origin is None and spec.submodule_search_locations is not None
        return f'there is no module {name}.{rest[0]}' if is_namespace and len(rest) > 1 else None
    return _look_in_source(spec, name, rest)


def _look_in_source(spec: ModuleSpec, name: str, rest: list[str]) -> str | None:
    assert spec.origin is not None
    with open(spec.origin, 'rb') as file:
        source = file.read()
    try:
        names = set(_names(ast.parse(source).body))
    except SyntaxError as error:
        return f'{spec.origin} has a syntax error in line {error.lineno}: {error.msg}'
    except (_Dynamic, RecursionError):
        return None
    if rest[0] in names:
        return None
    similar = difflib.get_close_matches(rest[0], names, 1)
    hint = f'; did you mean {name}.{similar[0]}?' if similar else ''
    return f'there is no {rest[0]} in {spec.origin}{hint}'


class _Dynamic(Exception):
    """Which names a module has is known only when it runs."""


def _names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Return the names that statements of a module bind."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if statement.name == '__getattr__':
                raise _Dynamic
            yield statement.name
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                if alias.name == '*':
                    raise _Dynamic
                yield alias.asname or alias.name.partition('.')[0]
        else:
            for node in ast.walk(statement) if not _blocks(statement) else ():
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
            for block in _blocks(statement):
                yield from _names(block)


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """Return the blocks of an if, try, with or loop."""
    blocks = [getattr(statement, name, []) for name in ('body', 'orelse', 'finalbody')]
    blocks += [handler.body for handler in getattr(statement, 'handlers', [])]
    blocks += [case.body for case in getattr(statement, 'cases', [])]
    return [block for block in blocks if block]
