"""A traceback as people want to read it: their own frames, and how many others there are."""

from __future__ import annotations

import re

__all__ = ['fold']

_FRAME = re.compile(r'  File "(?P<path>[^"]*)", line \d+')
# Wherever the worker had its packages.
_RQ = re.compile(r'/(?:(?:site|dist)-packages/rq|rq_leveldb/worker)/[a-z_/]+\.py$')


def fold(text: str) -> str:
    """Return a traceback with one line in place of the frames of RQ and of the worker.

    Args:
        text: as Python prints it, or any other text.
    """
    lines: list[str] = []
    folded = 0
    is_inside = False
    for line in text.rstrip().split('\n'):
        frame = _FRAME.match(line)
        if frame is not None:
            is_inside = _RQ.search(frame['path']) is not None
            folded += is_inside
        elif not line.startswith('    '):
            is_inside = False
        if is_inside:
            continue
        if folded:
            lines.append(f'  ({folded} frame{"s" if folded > 1 else ""} of RQ; --verbose shows them)')
            folded = 0
        lines.append(line)
    return '\n'.join(lines)
