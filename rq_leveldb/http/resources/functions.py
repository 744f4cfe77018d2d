"""The functions that may be enqueued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from rq_leveldb.http.routing.route import Call, Route

__all__ = ['routes']


class FunctionsDocument(TypedDict):
    """The functions that may be enqueued."""

    functions: list[str]
    patterns: list[str]


def list_functions(call: Call) -> FunctionsDocument:
    """List the allowed functions that are known by name, and the patterns."""
    allow = call.backend.allow
    return {'functions': list(allow.functions), 'patterns': list(allow.patterns)}


def routes() -> Sequence[Route]:
    """Return the routes."""
    return (Route('GET', '/v1/functions', list_functions),)
