"""What was set aside, since it could be neither read nor failed."""

from __future__ import annotations

import falcon

from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.request import body, query
from rq_leveldb.unreadable import read_aside

__all__ = ['Unreadable']


class Unreadable:
    """The list; what can be read in part is shown where it belongs, with its faults.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the keys, by name."""
        found = {item.key: item for item in read_aside(self._backend.connection)}
        page, more = query.page_of(request, sorted(found))
        items = [{'key': key, 'reason': found[key].reason, 'at': found[key].at or None} for key in page]
        body.answer(response, {'items': items, 'next': more, 'unreadable': []})
