"""Whether a function can be found from here, without importing anything: a misspelt name otherwise fails in the worker.

Importing would run the application's code in a command that only stores a name. The source says nearly as much.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib.util
import os
import symtable
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
        tree = ast.parse(source)
        bound = symtable.symtable(importlib.util.decode_source(source), spec.origin, 'exec').get_symbols()
    except SyntaxError as error:
        return f'{spec.origin} has a syntax error in line {error.lineno}: {error.msg}'
    except RecursionError:
        return None
    names = {symbol.get_name() for symbol in bound if symbol.is_assigned() or symbol.is_imported()}
    is_dynamic = any(isinstance(node, ast.ImportFrom) and node.names[0].name == '*' for node in ast.walk(tree))
    if is_dynamic or '__getattr__' in names or rest[0] in names:
        return None
    similar = difflib.get_close_matches(rest[0], names, 1)
    hint = f'; did you mean {name}.{similar[0]}?' if similar else ''
    return f'there is no {rest[0]} in {spec.origin}{hint}'
