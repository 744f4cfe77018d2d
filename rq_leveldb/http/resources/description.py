"""The service's own description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rq_leveldb.http.routing.route import Call, Route

__all__ = ['routes']


def routes(document: Callable[[], dict[str, Any]]) -> Sequence[Route]:
    """Return the routes.

    Args:
        document: returns the OpenAPI document.
    """

    def describe(call: Call) -> dict[str, Any]:
        """Show this document."""
        return document()

    return (Route('GET', '/openapi.json', describe, is_open=True),)
