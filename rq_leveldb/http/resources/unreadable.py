"""The keys that were set aside because they could be neither read nor failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from rq_leveldb.http.documents.values import Page
from rq_leveldb.http.request import query
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.unreadable import read_aside

__all__ = ['routes']


class AsideDocument(TypedDict):
    """A key that was set aside because it could be neither read nor failed."""

    key: str
    reason: str
    at: Annotated[str | None, 'When it was first found.']


def list_unreadable(call: Call) -> Page[AsideDocument]:
    """List the keys that were set aside because they cannot be read, by name.

    What can be read in part is shown where it belongs, with its faults.
    """
    found = {item.key: item for item in read_aside(call.backend.connection)}
    keys, more = query.page_of(sorted(found), call.query)
    items: list[AsideDocument] = [
        {'key': key, 'reason': found[key].reason, 'at': found[key].at or None} for key in keys
    ]
    return Page(items, more)


def routes() -> Sequence[Route]:
    """Return the routes."""
    return (Route('GET', '/v1/unreadable', list_unreadable, query=query.BY_NAME),)
