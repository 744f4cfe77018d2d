"""The service's own description (OpenAPI 3.1)."""

from __future__ import annotations

import falcon

from rq_leveldb.http import body
from rq_leveldb.http.backend import Backend

__all__ = ['OpenApi']


class OpenApi:
    """The document.

    Args:
        backend: for the limits that it states.
    """

    def __init__(self, backend: Backend) -> None:
        self._document: dict[str, object] = {}

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Show the document."""
        body.answer(response, self._document)
