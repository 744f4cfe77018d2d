"""Answering errors: whatever goes wrong becomes a problem document."""

from __future__ import annotations

import json
import logging
from typing import Any

import falcon
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError

from rq_leveldb.errors import StoreError
from rq_leveldb.http.problems import MEDIA_TYPE, Internal, StoreUnavailable, UnreadableRecord, document
from rq_leveldb.unreadable import is_wrong_type

__all__ = ['install']

_log = logging.getLogger('rq_leveldb.http')


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


def _serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    response.content_type = MEDIA_TYPE
    response.data = json.dumps(document(error)).encode()


def _answer(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, names: Any) -> None:
    response.status = error.status
    if error.headers is not None:
        response.set_headers(error.headers)
    response.stream = None
    _serialize(request, response, error)


def _store_failed(request: falcon.Request, response: falcon.Response, error: RedisError, names: Any) -> None:
    if is_wrong_type(error):
        problem: falcon.HTTPError = UnreadableRecord(
            'A key in the store holds another type of value than RQ keeps there.',
            hint='GET /v1/queues and /v1/jobs name what cannot be read.',
        )
    else:
        _log.error('%s %s: the store did not answer: %s', request.method, request.path, error)
        is_lost = isinstance(error, StoreConnectionError)
        problem = StoreUnavailable(
            'The connection to the store failed.' if is_lost else 'The store refused the command.'
        )
    _answer(request, response, problem, names)


def _store_refused(request: falcon.Request, response: falcon.Response, error: StoreError, names: Any) -> None:
    _log.error('%s %s: %s', request.method, request.path, error)
    _answer(request, response, StoreUnavailable(f'{error.title}.', hint=error.advice), names)


def _crashed(request: falcon.Request, response: falcon.Response, error: Exception, names: Any) -> None:
    _log.error('%s %s failed', request.method, request.path, exc_info=error)
    _answer(request, response, Internal(), names)
