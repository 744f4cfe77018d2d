"""What the store knows of a cron entry: when it is due, when it ran, whether it is disabled or wanted at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rq_leveldb.records import DUE_KEY_TEMPLATE

__all__ = ['NEVER', 'Due', 'due_key']

NEVER = 253402300799.0
"""The latest time that Python's datetime can hold."""

# Seconds after its due time for which an entry is kept that is no longer in any file.
_MEMORY = 30 * 86400


@dataclass(frozen=True)
class Due:
    """What the store knows of an entry; times in seconds since the epoch.

    Args:
        at: when it is due.
        written: when a worker wrote that.
        last: when it was enqueued for the last time; None if it never was.
        is_disabled: whether it is left out when it is due.
        is_wanted: whether it is to be enqueued once, now, whenever it is due.
    """

    at: float
    written: float
    last: float | None
    is_disabled: bool = False
    is_wanted: bool = False

    def encode(self) -> str:
        """Return the text that is stored."""
        flags = {'disabled': self.is_disabled, 'wanted': self.is_wanted}
        times = {'due': self.at, 'written': self.written, 'last': self.last}
        return json.dumps({**times, **{name: True for name, is_set in flags.items() if is_set}})

    @classmethod
    def decode(cls, text: bytes) -> Due | None:
        """Return what `encode` wrote; None for anything else."""
        try:
            said = json.loads(text)
            last = said['last']
            return cls(
                _moment(said['due']),
                _moment(said['written']),
                None if last is None else _moment(last),
                said.get('disabled') is True,
                said.get('wanted') is True,
            )
        except (ValueError, TypeError, KeyError):
            return None

    def lifetime(self, moment: float) -> int | None:
        """Return for how many seconds the store is to keep this; None forever, since what is disabled must stay so.

        Args:
            moment: now, in seconds since the epoch.
        """
        return None if self.is_disabled else int(max(self.at - moment, 0)) + _MEMORY


def due_key(entry_id: str) -> str:
    """Return the key under which it stands what is known of an entry.

    Args:
        entry_id: the entry.
    """
    return DUE_KEY_TEMPLATE.format(entry_id)


def _moment(said: Any) -> float:
    moment = float(said)
    if not 0 <= moment <= NEVER:
        raise ValueError(f'not a moment: {moment}')
    return moment
