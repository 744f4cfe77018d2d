"""The functions that may be enqueued over HTTP: whoever can enqueue any can run any code as the worker's user."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence

from rq_leveldb.errors import StoreError
from rq_leveldb.failed_import import describe
from rq_leveldb.http.problems import FieldError, FunctionNotAllowed

__all__ = ['AllowList', 'ImportFailed']

_PATTERN = re.compile(r'[A-Za-z0-9_.*]+')
_CACHED_NAMES = 4096


class ImportFailed(StoreError):
    """A module given by --import cannot be imported."""

    default_title = 'This module cannot be imported'
    default_advice = 'Check its name, the working directory and PYTHONPATH.'


class AllowList:
    """The functions that may be enqueued over HTTP.

    Args:
        imports: modules to import now; functions in them, or in modules below them, that were decorated with
            `@job` are allowed.
        patterns: names that are allowed besides; `*` stands for one part of a dotted name, `**` for any number.
            A pattern matches names alone: `tasks.*` also allows `tasks.system` if tasks.py imports that name.

    Raises:
        ImportFailed: a module cannot be imported.
        ValueError: a pattern holds other characters than those of names, dots and stars.
    """

    def __init__(self, imports: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self.functions = tuple(sorted(_decorated(tuple(imports))))
        self._known = frozenset(self.functions)
        self._matcher = _compile(self.patterns)
        self._matches = functools.lru_cache(maxsize=_CACHED_NAMES)(self._match)

    def allows(self, name: str) -> bool:
        """Say whether a function may be enqueued.

        Args:
            name: its dotted name.
        """
        return self._matches(name)

    def refusal(self, name: str, errors: Sequence[FieldError]) -> FunctionNotAllowed:
        """Return the error for a function that may not be enqueued, with a hint for whoever runs the service.

        Args:
            name: its dotted name.
            errors: the fields that name it.
        """
        near = difflib.get_close_matches(name[:200], self.functions, n=1)
        pattern = f'start the worker with --allow {name}' if len(name) <= 200 else 'allow it with --allow'
        hint = f'Decorate it with @job in a module given by --import, or {pattern}.'
        return FunctionNotAllowed(
            f'{name[:200]} is not on the list of allowed functions.',
            hint=f'Did you mean {near[0]}? Otherwise: {hint[0].lower()}{hint[1:]}' if near else hint,
            errors=errors,
        )

    def _match(self, name: str) -> bool:
        return name in self._known or self._matcher.fullmatch(name) is not None


def _compile(patterns: tuple[str, ...]) -> re.Pattern[str]:
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f'--allow takes names with dots and stars, not {pattern!r}')
    translated = (
        re.escape(pattern).replace(r'\*\*', r'[A-Za-z0-9_.]+').replace(r'\*', r'[A-Za-z0-9_]+') for pattern in patterns
    )
    return re.compile('|'.join(f'(?:{text})' for text in translated) or r'(?!)')


def _decorated(imports: tuple[str, ...]) -> set[str]:
    for name in imports:
        try:
            importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ImportFailed(name, title=f'This module cannot be imported ({describe(name, error)})') from error
    names: set[str] = set()
    for module_name, module in tuple(sys.modules.items()):
        if module is None or not any(module_name == name or module_name.startswith(f'{name}.') for name in imports):
            continue
        for attribute, value in tuple(vars(module).items()):
            # What rq's decorator leaves behind: both names, on a plain function.
            if (
                inspect.isfunction(value)
                and callable(vars(value).get('delay'))
                and callable(vars(value).get('enqueue'))
            ):
                names.add(f'{module_name}.{attribute}')
    return names
