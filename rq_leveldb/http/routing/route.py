"""A route: one method of one path, what it takes and answers, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import falcon

from rq_leveldb.http.problems import InvalidField, Problem
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.request import query
from rq_leveldb.http.request.body import JSON, answer, read
from rq_leveldb.http.request.fields import Field, Record

__all__ = ['Call', 'Route', 'responder']


@dataclass
class Call:
    """One request, read and checked as its route declares.

    Args:
        backend: the store.
        request: the request.
        response: the response, for headers and for what is not JSON.
        query: the query parameters that were given.
        document: the body as it was sent.
        values: the body's fields that were given.
    """

    backend: Backend
    request: falcon.Request
    response: falcon.Response
    query: dict[str, Any] = field(default_factory=dict)
    document: Any = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One method of one path. Requests are read, checked and answered as it says, and the OpenAPI document follows it.

    Args:
        method: the HTTP method.
        path: the path, with its variable parts in braces.
        respond: takes the call and the variable parts by name, and returns what is sent as JSON; None sends what it put
            into the response. Its name in camel case is the operationId, the first line of its docstring the summary,
            its annotations say what the variable parts are and what it returns.
        problems: what may go wrong, besides what may with every route.
        query: the query parameters; None accepts and ignores any.
        body: the body; it may be left out if all of its fields may.
        status: the usual status.
        also: another status that it answers in the same way.
        largest: largest body, bytes; None takes that of the settings.
        headers: request headers that it reads.
        gives: response headers, and what each of them says.
        is_open: whether no token is needed.
        media_type: of the answer; what is not JSON is text.
    """

    method: str
    path: str
    respond: Callable[..., Any]
    problems: tuple[type[Problem], ...] = ()
    query: Mapping[str, Field] | None = field(default_factory=dict)
    body: Record | None = None
    status: int = 200
    also: int | None = None
    largest: int | None = None
    headers: Mapping[str, Field] = field(default_factory=dict)
    gives: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False
    media_type: str = JSON


def responder(route: Route, backend: Backend) -> Callable[..., None]:
    """Return what Falcon calls for a route.

    Args:
        route: the route.
        backend: the store.
    """
    usual = falcon.code_to_http_status(route.status)
    limit = route.largest or backend.settings.max_body

    def respond(request: falcon.Request, response: falcon.Response, **names: str) -> None:
        call = Call(backend, request, response)
        if route.query is not None:
            call.query = query.read_query(request, route.query)
        if route.body is not None:
            call.document = read(request, limit, required=bool(route.body.required))
            call.values, errors = route.body.read(call.document)
            if errors:
                raise InvalidField(errors=errors)
        response.status = usual
        document = route.respond(call, **names)
        if document is not None:
            answer(response, document)

    return respond
