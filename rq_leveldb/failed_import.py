"""The message about a module that cannot be imported: why, and in which line."""

from __future__ import annotations

import traceback

__all__ = ['describe']


def describe(module: str, error: BaseException) -> str:
    """Return in one line why a module cannot be imported, and where in it that happened.

    Args:
        module: the name that was given, of a module or of something in it.
        error: what importing it raised.
    """
    text = f'{type(error).__name__}: {error}' if str(error) else type(error).__name__
    if isinstance(error, SystemExit):
        text = f'it ended the process with exit code {error.code}'
    elif isinstance(error, ImportError):
        text = str(error)
    elif isinstance(error, SyntaxError) and error.filename:
        # Its own text ends with the place, which is reported in the same way for all errors.
        return f'{module}: {type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})'
    where = _line(module, error)
    return f'{module}: {text} ({where})' if where else f'{module}: {text}'


def _line(module: str, error: BaseException) -> str | None:
    """Return the last line of the module itself that ran, else the last of anything that it imported."""
    own = other = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = str(frame.f_globals.get('__name__', ''))
        filename = frame.f_code.co_filename
        if filename.startswith('<') or name in ('importlib', __name__) or name.startswith(('rq.', 'rq_leveldb.')):
            continue
        place = f'{filename}, line {number}'
        if f'{name}.'.startswith(f'{module}.') or module.startswith(f'{name}.'):
            own = place
        else:
            other = place
    return own or other
