"""Errors over HTTP: problem details for every one of them (RFC 9457), naming the field where there is one."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import falcon
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError

from rq_leveldb.errors import StoreError
from rq_leveldb.unreadable import is_wrong_type

__all__ = ['MEDIA_TYPE', 'FieldError', 'Problem', 'body', 'install']

MEDIA_TYPE = 'application/problem+json'

_log = logging.getLogger('rq_leveldb.http')

# An address of its own for each kind, which need not be fetched: RFC 9457, section 3.1.1.
_TYPE = 'urn:rq-leveldb:problem:'


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one part of a request.

    Args:
        detail: what was expected, for a person.
        pointer: JSON pointer into the body (RFC 6901), as in `/retry/max`.
        parameter: name of the query parameter or header, where it is not the body.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the fields that are set."""
        fields = {'detail': self.detail, 'pointer': self.pointer, 'parameter': self.parameter}
        return {name: value for name, value in fields.items() if value is not None}


class Problem(falcon.HTTPError):
    """An error with a machine's name, a title, a reason and what to do next.

    Args:
        status: HTTP status code.
        kind: the last part of the problem's type, stable over versions.
        title: what happened, the same text for every problem of this kind.
        detail: what happened this time.
        hint: what to do about it.
        errors: the fields that are wrong.
        headers: further response headers.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str | None = None,
        *,
        hint: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, title=title, description=detail, headers=headers)
        self.kind = kind
        self.hint = hint
        self.errors = tuple(errors)


def body(error: falcon.HTTPError) -> dict[str, object]:
    """Return the problem document of an error.

    Args:
        error: one of ours, or Falcon's own (no such route, method not allowed).
    """
    kind = error.kind if isinstance(error, Problem) else _KINDS.get(error.status_code, 'error')
    document: dict[str, object] = {'type': _TYPE + kind, 'title': _title(error), 'status': error.status_code}
    if error.description:
        document['detail'] = error.description
    if isinstance(error, Problem):
        if error.hint:
            document['hint'] = error.hint
        if error.errors:
            document['errors'] = [field.to_dict() for field in error.errors]
    return document


def install(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Make an application answer every error with a problem document.

    Args:
        app: the application, before it serves.
    """
    app.set_error_serializer(_serialize)
    app.add_error_handler(RedisError, _store_failed)
    app.add_error_handler(StoreError, _store_refused)
    app.add_error_handler(Exception, _crashed)
    app.add_error_handler(falcon.HTTPError, _answer)


_KINDS = {400: 'bad-request', 403: 'forbidden', 404: 'not-found', 405: 'method-not-allowed', 413: 'body-too-large'}


def _title(error: falcon.HTTPError) -> str:
    title = error.title or ''
    # Falcon's default is the status line; RFC 9457 wants the phrase alone.
    return title.partition(' ')[2] if title[:3].isdigit() else title


def _serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    response.content_type = MEDIA_TYPE
    response.data = json.dumps(body(error)).encode()


def _answer(
    request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, params: dict[str, object]
) -> None:
    response.status = error.status
    if error.headers is not None:
        response.set_headers(error.headers)
    response.stream = None
    _serialize(request, response, error)


def _store_failed(
    request: falcon.Request, response: falcon.Response, error: RedisError, params: dict[str, object]
) -> None:
    if is_wrong_type(error):
        problem = Problem(
            409,
            'unreadable-record',
            'A key in the store holds another type of value',
            'What was asked for needs it as RQ keeps it.',
            hint='GET /v1/queues and /v1/jobs name what cannot be read.',
        )
        _answer(request, response, problem, params)
        return
    _log.error('%s %s: the store did not answer: %s', request.method, request.path, error)
    lost = isinstance(error, StoreConnectionError)
    _answer(
        request,
        response,
        Problem(
            503,
            'store-unavailable',
            'The store did not answer',
            'The connection to the store failed.' if lost else 'The store refused the command.',
            hint='Try again; the log of the HTTP front says more.',
            headers={'Retry-After': '1'},
        ),
        params,
    )


def _store_refused(
    request: falcon.Request, response: falcon.Response, error: StoreError, params: dict[str, object]
) -> None:
    _log.error('%s %s: %s', request.method, request.path, error)
    _answer(
        request,
        response,
        Problem(503, 'store-unavailable', 'The store did not answer', error.title, hint=error.advice),
        params,
    )


def _crashed(request: falcon.Request, response: falcon.Response, error: Exception, params: dict[str, object]) -> None:
    _log.error('%s %s failed', request.method, request.path, exc_info=error)
    _answer(
        request,
        response,
        Problem(500, 'internal', 'The service failed', 'This is a defect. The log of the HTTP front says more.'),
        params,
    )
