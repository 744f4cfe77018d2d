"""How points in time look in documents for programs: RFC 3339, in UTC with microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

__all__ = ['Format', 'Moment', 'read_timestamp', 'timestamp']


@dataclass(frozen=True)
class Format:
    """What form a text has; an argument of Annotated.

    Args:
        name: JSON Schema's name of the form.
    """

    name: str


Moment = Annotated[str, Format('date-time')]
"""A point in time as RFC 3339 has it."""


def timestamp(value: datetime | None) -> str | None:
    """Return a point in time as RFC 3339 has it, in UTC with microseconds.

    Args:
        value: aware, or None.
    """
    return None if value is None else value.isoformat(timespec='microseconds').replace('+00:00', 'Z')


def read_timestamp(text: str) -> datetime:
    """Return the point in time that `timestamp` wrote, in UTC.

    Args:
        text: what it returned.
    """
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace('Z', '+00:00'))
