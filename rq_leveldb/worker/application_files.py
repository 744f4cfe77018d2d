"""Which files the application's modules were imported from."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType

__all__ = ['application_files']

_INSTALLED = (f'{os.sep}site-packages{os.sep}', f'{os.sep}dist-packages{os.sep}')


def application_files(names: Iterable[str] | None = None) -> set[str]:
    """Return the files of imported modules, but for those that are installed: that is many, and nobody edits them.

    Args:
        names: of the modules; None for all that this process has imported.
    """
    return {path for name in (list(sys.modules) if names is None else names) if (path := _file(name)) is not None}


def _file(name: str) -> str | None:
    module = sys.modules.get(name)
    if name == '__main__' or not isinstance(module, ModuleType):
        return None
    # Not getattr, which may make a lazy module import itself.
    path = object.__getattribute__(module, '__dict__').get('__file__')
    if not isinstance(path, str):
        return None
    path = os.path.abspath(path)
    if path.startswith(_libraries()) or any(part in path for part in _INSTALLED):
        return None
    return path


@lru_cache(maxsize=1)
def _libraries() -> tuple[str, ...]:
    paths = (sysconfig.get_path(name) for name in ('stdlib', 'platstdlib'))
    return tuple(path + os.sep for path in paths if path is not None)
