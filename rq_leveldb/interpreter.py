"""Run this package in another process, with the same interpreter and from the same places.

`python -m rq_leveldb` finds the package only where the interpreter looks by itself. An application may have been packed
(shiv, pex), run inside another program (uWSGI, mod_wsgi), or have changed `sys.path`. So the new process is told where
this one finds what it needs, and looks nowhere else: not in the current directory, nor where the environment says.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec

__all__ = ['NoInterpreter', 'command', 'executable', 'search_path']

# Behind the standard library, so that nothing there is hidden.
_START = (
    'import sys; end = 2 + int(sys.argv[1]); sys.path += sys.argv[2:end]; del sys.argv[1:end]; '
    'from rq_leveldb.__main__ import main; sys.exit(main())'
)


class NoInterpreter(Exception):
    """The program that embeds this Python has no interpreter that could be started."""


def command(arguments: Sequence[str], needed: Iterable[str]) -> list[str]:
    """Return the command line of a process that runs `rq-leveldb` with some arguments.

    Args:
        arguments: those after the program's name.
        needed: other top-level modules that it imports; those that are missing are left out.

    Raises:
        NoInterpreter: there is none.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = {package, *filter(None, map(_place_of, needed))}
    # In the order of sys.path, so that a module in two of them is found in the same place there.
    places = sorted(found, key=lambda place: sys.path.index(place) if place in sys.path else len(sys.path))
    # Isolated, and without the directories of the installation: the ones that are needed are named.
    return [executable(), '-I', '-S', '-c', _START, str(len(places)), *places, *arguments]


def _place_of(module: str) -> str | None:
    """Return the directory, or archive, where a module is found."""
    # Not by relative entries: the current directory is where anybody may have put something. What is found by other
    # means than the path (an editable installation) is looked for last.
    spec = PathFinder.find_spec(module, list(filter(os.path.isabs, sys.path))) or find_spec(module)
    if spec is None or spec.origin is None:
        return None
    directory = os.path.dirname(os.path.abspath(spec.origin))
    return os.path.dirname(directory) if spec.submodule_search_locations is not None else directory


def search_path() -> str:
    """Return the PYTHONPATH with which another process imports the same modules as this one."""
    return os.pathsep.join(filter(os.path.isabs, sys.path))


def executable() -> str:
    """Return the path of this process' interpreter.

    Raises:
        NoInterpreter: there is none.
    """
    if re.match(r'(python|pypy)', os.path.basename(sys.executable or '')):
        return sys.executable
    # A program that embeds Python may name itself in sys.executable, or leave it empty.
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    prefixes = dict.fromkeys([sys.exec_prefix, sys.base_exec_prefix])
    for path in [os.path.join(prefix, 'bin', f'python{version}') for prefix in prefixes]:
        if os.access(path, os.X_OK):
            return path
    raise NoInterpreter(f'{sys.executable or "this program"} is not Python, and there is no python{version} next to it')
