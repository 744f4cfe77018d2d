"""How single values look in JSON: times, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Generic, TypedDict, TypeVar

from rq_leveldb.http.request.fields import Schema
from rq_leveldb.lookup import Strange
from rq_leveldb.unreadable import Fault, show_bytes

__all__ = [
    'Also',
    'Faults',
    'Page',
    'StrangeDocument',
    'between',
    'fault_documents',
    'from_seconds',
    'strange_documents',
]


Item = TypeVar('Item')


@dataclass(frozen=True, eq=False)
class Also:
    """What a type adds to its schema in the OpenAPI document; an argument of Annotated.

    Args:
        schema: JSON Schema keywords.
    """

    schema: Schema


class FaultDocument(TypedDict):
    """A part of a record that cannot be read."""

    field: Annotated[str, 'Which part; empty for the whole record.']
    value: Annotated[str, 'What is stored there, as Python writes bytes.']
    error: str


Faults = Annotated[list[FaultDocument], 'What of it cannot be read; empty for nearly every record.']


class StrangeDocument(TypedDict):
    """Something that is stored where a record should be."""

    key: str
    reason: str


def from_seconds(seconds: float | None) -> datetime | None:
    """Return a registry's score as a point in time, None where it is none.

    Args:
        seconds: since the epoch.
    """
    try:
        return None if seconds is None else datetime.fromtimestamp(float(seconds), timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the time between two points, seconds; None where one is not known.

    Args:
        start: the first.
        end: the second.
    """
    return round((end - start).total_seconds(), 6) if start is not None and end is not None else None


def fault_documents(faults: Iterable[Fault]) -> list[FaultDocument]:
    """Return what cannot be read of a record in JSON.

    Args:
        faults: what was found.
    """
    return [{'field': fault.field, 'value': show_bytes(fault.value), 'error': fault.error} for fault in faults]


def strange_documents(strange: Iterable[Strange]) -> list[StrangeDocument]:
    """Return what is stored where records should be in JSON.

    Args:
        strange: what was found.
    """
    return [{'key': item.key, 'reason': item.reason} for item in strange]


class Page(dict[str, Any], Generic[Item]):
    """A page of a list.

    Args:
        items: the items in JSON.
        cursor: of the next page; None at the end.
        strange: what is stored where items should be.
    """

    def __init__(self, items: list[Item], cursor: str | None, strange: Iterable[Strange] = ()) -> None:
        super().__init__(items=items, next=cursor, unreadable=strange_documents(strange))
