"""What a traceback says in one line, and which errors are of one kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ['ErrorText', 'read_error']

UNKNOWN = 'unknown'
"""The kind of an error of which nothing is kept."""

_LONGEST_LINE = 500
_LONGEST_KIND = 200
# Frames and the lines of code below them are indented; the exception is the first line after them that is not.
_FRAME = '\n  File "'
_OUTSIDE = re.compile(r'\n(?=\S)')
_TYPE = re.compile(r'([^\W\d][\w.]*)(?=:|$)')
_NUMBER = re.compile(r'[0-9]+')


@dataclass(frozen=True)
class ErrorText:
    """An error in short.

    Args:
        kind: the exception's type; the line with N for each number where no exception was raised.
        line: the type and the first line of the message.
    """

    kind: str
    line: str


def read_error(text: str | None) -> ErrorText:
    """Return what a stored error says in one line.

    Args:
        text: a traceback as Python prints it (the last one of a chain counts), or the reason that a worker gave.
    """
    text = text or ''
    frame = text.rfind(_FRAME)
    outside = _OUTSIDE.search(text, frame + 1) if frame >= 0 else None
    begin = outside.end() if outside is not None else len(text) - len(text.lstrip())
    line = text[begin : begin + _LONGEST_LINE].partition('\n')[0].rstrip()
    named = _TYPE.match(line) if outside is not None else None
    return ErrorText(named[1] if named else _NUMBER.sub('N', line)[:_LONGEST_KIND] or UNKNOWN, line)
