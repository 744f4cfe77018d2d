"""How many of the jobs that have ended are kept, how large, or for how long: one rule, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ['Keep']

_SECONDS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
_BYTES = {'kb': 1 << 10, 'mb': 1 << 20, 'gb': 1 << 30, 'tb': 1 << 40}
_PATTERN = re.compile(r'(?:(?P<queue>.+):)?(?P<number>[0-9]{1,15})(?P<unit>[smhdw]?|[kKmMgGtT][bB])', re.DOTALL)


@dataclass(frozen=True)
class Keep:
    """What is kept of the jobs of one state; what RQ's own lifetimes end goes earlier.

    Args:
        count: at most so many jobs, the newest; None for any number.
        seconds: only jobs that ended so many seconds ago or less; None for any time.
        size: at most about so many bytes, the newest; None for any size.
        queue: of this queue; None for each queue that no other rule names.
    """

    count: int | None = None
    seconds: float | None = None
    size: int | None = None
    queue: str | None = None

    @classmethod
    def parse(cls, text: str) -> Keep:
        """Return the rule that a text stands for: `10000`, `30d`, `500MB`, `default:1000`.

        Args:
            text: a number of jobs, a time in s, m, h, d or w, or a size in KB, MB, GB or TB, which are powers of 1024;
                behind the name of a queue and a colon if it is for that queue only.

        Raises:
            ValueError: it is none of these.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(
                f'{text!r} is neither a number of jobs, such as 10000, nor a time, such as 12h or 30d, nor a size, '
                'such as 500MB; a queue comes first: default:1000'
            )
        number, unit = int(match['number']), match['unit'].lower()
        if unit in _BYTES:
            return cls(size=number * _BYTES[unit], queue=match['queue'])
        if unit:
            return cls(seconds=number * _SECONDS[unit], queue=match['queue'])
        return cls(count=number, queue=match['queue'])

    @classmethod
    def of(cls, rules: Iterable[Keep], queue: str) -> Keep | None:
        """Return all rules for a queue in one; None if there is none.

        Args:
            rules: of all queues.
            queue: the queue's name.
        """
        rules = list(rules)
        valid = [rule for rule in rules if rule.queue == queue] or [rule for rule in rules if rule.queue is None]
        if not valid:
            return None
        return cls(
            min((rule.count for rule in valid if rule.count is not None), default=None),
            min((rule.seconds for rule in valid if rule.seconds is not None), default=None),
            min((rule.size for rule in valid if rule.size is not None), default=None),
            queue,
        )
