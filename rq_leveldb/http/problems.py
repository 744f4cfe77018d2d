"""The errors of the HTTP API: a class for each kind of problem, with its status, its name and its title (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypedDict

import falcon

__all__ = [
    'MEDIA_TYPE',
    'BadHeader',
    'BadHost',
    'BadParameter',
    'BatchTooLarge',
    'BodyTooLarge',
    'BusyDependencies',
    'CrossSite',
    'DuplicateJob',
    'ExpectationFailed',
    'FieldError',
    'FunctionNotAllowed',
    'HeadersTooLarge',
    'IdempotencyKeyReused',
    'Internal',
    'InvalidField',
    'MalformedJson',
    'MalformedRequest',
    'NestedTooDeeply',
    'NoSuchCronEntry',
    'NoSuchDependency',
    'NoSuchJob',
    'NoSuchQueue',
    'NoSuchWorker',
    'NotFound',
    'NotJson',
    'OneChildOnly',
    'Problem',
    'ProblemDocument',
    'StoreUnavailable',
    'TooManyTries',
    'TooManyWaiting',
    'TooSlow',
    'Unauthorized',
    'UnknownHost',
    'UnreadableJob',
    'UnreadableRecord',
    'UriTooLong',
    'WrongState',
    'WrongToken',
    'document',
]

MEDIA_TYPE = 'application/problem+json'

# An address of its own for each kind, which need not be fetched: RFC 9457, section 3.1.1.
_TYPE = 'urn:rq-leveldb:problem:'
_CLOSE = {'Connection': 'close'}
_FORGOTTEN = 'A finished job is kept for its result_ttl (500 seconds by default), then deleted.'


class _Detailed(TypedDict):
    detail: str


class FieldErrorDocument(_Detailed, total=False):
    """What is wrong with one part of a request."""

    pointer: Annotated[str, 'JSON pointer into the body.']
    parameter: Annotated[str, 'Query parameter or header.']


class _Titled(TypedDict):
    type: Annotated[str, 'The kind of problem, stable over versions.']
    title: str
    status: int


class ProblemDocument(_Titled, total=False):
    """What went wrong (RFC 9457)."""

    detail: str
    hint: Annotated[str, 'What to do about it.']
    errors: list[FieldErrorDocument]


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

    def __str__(self) -> str:
        return f'{self.parameter or self.pointer or "The body"} {self.detail}.'

    def to_document(self) -> FieldErrorDocument:
        """Return the error in JSON."""
        found: FieldErrorDocument = {'detail': self.detail}
        if self.pointer is not None:
            found['pointer'] = self.pointer
        if self.parameter is not None:
            found['parameter'] = self.parameter
        return found


class Problem(falcon.HTTPError):
    """An error with a machine-readable name, a title, a reason and what to do next.

    The class decides status, name and title.

    Args:
        detail: what happened this time; by default what is wrong with the first field.
        hint: what to do about it; by default the class's own.
        errors: the fields that are wrong.
        headers: further response headers.
    """

    http_status: ClassVar[int]
    kind: ClassVar[str]
    """The last part of the problem's type: the name of the class with dashes. It is stable over versions."""
    default_title: ClassVar[str]
    default_hint: ClassVar[str | None]
    default_headers: ClassVar[Mapping[str, str]]

    def __init_subclass__(
        cls, *, status: int, title: str, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        cls.kind = re.sub(r'(?<!^)(?=[A-Z])', '-', cls.__name__).lower()
        cls.http_status, cls.default_title, cls.default_hint = status, title, hint
        cls.default_headers = headers or {}

    def __init__(
        self,
        detail: str | None = None,
        *,
        hint: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if detail is None and errors:
            detail = str(errors[0])
        super().__init__(
            self.http_status,
            title=self.default_title,
            description=detail,
            headers={**self.default_headers, **(headers or {})},
        )
        self.hint = hint or self.default_hint
        self.errors = tuple(errors)


class BadParameter(Problem, status=400, title='A query parameter has a value that is not accepted'):
    """A query parameter is unknown, missing, or has a value that is not accepted."""


class BadHeader(Problem, status=400, title='A header has a value that is not accepted'):
    """A header has a value that is not accepted."""


class BadHost(Problem, status=400, title='The Host header is malformed'):
    """The Host header is malformed."""


class MalformedJson(Problem, status=400, title='The body is not valid JSON'):
    """The body is not valid JSON."""


class NestedTooDeeply(
    Problem,
    status=400,
    title='The body is nested too deeply',
    hint='Pass the value as text, or store it elsewhere and pass its name.',
):
    """The body is nested too deeply."""


class MalformedRequest(Problem, status=400, title='The request is not valid HTTP'):
    """The request is not valid HTTP."""


class Unauthorized(
    Problem,
    status=401,
    title='A token is required',
    hint='Send Authorization: Bearer TOKEN; `rq-leveldb token` prints it.',
):
    """The token is missing or wrong."""


class UnknownHost(
    Problem,
    status=403,
    title='This service is not known by that name',
    hint='Use localhost or the IP address, or start the service with --host-name NAME.',
):
    """The Host header does not name this service."""


class CrossSite(
    Problem,
    status=403,
    title='Requests from other sites are not allowed',
    hint='Programs send Authorization: Bearer TOKEN instead of a cookie.',
):
    """The request comes from a page of another site."""


class FunctionNotAllowed(Problem, status=403, title='This function may not be enqueued over HTTP'):
    """The function, or a callback, may not be enqueued over HTTP."""


class WrongToken(Problem, status=403, title='The token is wrong', hint='`rq-leveldb token` prints it.'):
    """The token is wrong."""


class NoSuchJob(Problem, status=404, title='The job does not exist', hint=_FORGOTTEN):
    """The job does not exist."""


class NoSuchQueue(Problem, status=404, title='The queue does not exist'):
    """The queue does not exist."""


class NoSuchWorker(Problem, status=404, title='The worker does not exist'):
    """The worker does not exist."""


class NoSuchCronEntry(Problem, status=404, title='The cron entry does not exist'):
    """The cron entry does not exist."""


class NotFound(Problem, status=404, title='Not Found'):
    """The path does not exist."""


class TooSlow(
    Problem,
    status=408,
    title='The request did not arrive in time',
    hint='Send it faster, or fewer jobs at a time; docs/http.rst lists the settings.',
    headers=_CLOSE,
):
    """The request did not arrive in time."""


class UnreadableRecord(Problem, status=409, title='A record in the store cannot be read'):
    """A record in the store that the request needs cannot be read."""


class UnreadableJob(
    Problem,
    status=409,
    title='The job cannot be read',
    hint='It can be shown and deleted. A worker that takes it fails it with this reason.',
):
    """The job, or one that depends on it, cannot be read."""


class WrongState(Problem, status=409, title='The state of the job does not allow this'):
    """The state of the job does not allow this."""


class DuplicateJob(Problem, status=409, title='A job with this id exists'):
    """A job with this id exists already."""


class NoSuchDependency(Problem, status=409, title='A job to wait for does not exist', hint=_FORGOTTEN):
    """A job to wait for does not exist."""


class OneChildOnly(
    Problem, status=409, title='This worker runs one job at a time', hint='Start `rq-leveldb worker` instead.'
):
    """The worker is RQ's own, which runs one job at a time."""


class BodyTooLarge(
    Problem,
    status=413,
    title='The body is too large',
    hint='Send fewer jobs at a time, or store the data elsewhere and pass its name.',
    headers=_CLOSE,
):
    """The body is too large.

    Args:
        limit: the largest body that is accepted, bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f'At most {limit} bytes are accepted.')


class BatchTooLarge(Problem, status=413, title='The request has too many jobs'):
    """The batch has too many jobs."""


class UriTooLong(Problem, status=414, title='The URI is too long'):
    """The URI is too long."""


class NotJson(Problem, status=415, title='The body must be JSON'):
    """The Content-Type is not JSON."""


class ExpectationFailed(Problem, status=417, title='The expectation cannot be met'):
    """The Expect header asks for something that is not known."""


class InvalidField(Problem, status=422, title='A field has a value that is not accepted'):
    """A field is unknown, missing, or has a value that is not accepted."""


class IdempotencyKeyReused(
    Problem,
    status=422,
    title='This Idempotency-Key was used for another request',
    hint='Use a new key for a new request.',
):
    """The Idempotency-Key was used for another request."""


class TooManyTries(Problem, status=429, title='Too many wrong tokens were sent from this address'):
    """Too many wrong tokens were sent from this address; Retry-After says how long to wait."""


class HeadersTooLarge(Problem, status=431, title='The header fields are too large'):
    """The header fields are too large."""


class Internal(Problem, status=500, title='The service failed'):
    """The service has a bug."""

    def __init__(self) -> None:
        super().__init__('This is a bug. The log of the HTTP front has the details.')


class StoreUnavailable(
    Problem,
    status=503,
    title='The store did not answer',
    hint='Try again; the log of the HTTP front has the details.',
    headers={'Retry-After': '1'},
):
    """The store did not answer."""


class BusyDependencies(
    Problem, status=503, title='The jobs to wait for keep changing', hint='Try again.', headers={'Retry-After': '1'}
):
    """The jobs to wait for keep changing."""


class TooManyWaiting(Problem, status=503, title='Too many clients are waiting', headers={'Retry-After': '5'}):
    """Too many clients are waiting."""


# Falcon's own errors: no such route, a method that a route does not have.
_KINDS = {400: 'bad-request', 403: 'forbidden', 404: 'not-found', 405: 'method-not-allowed', 413: 'body-too-large'}


def document(error: falcon.HTTPError) -> ProblemDocument:
    """Return the problem document of an error.

    Args:
        error: one of ours, or one of Falcon's own.
    """
    ours = error if isinstance(error, Problem) else None
    kind = ours.kind if ours else _KINDS.get(error.status_code, 'error')
    title = error.title or ''
    found: ProblemDocument = {
        'type': _TYPE + kind,
        # Falcon's default is the status line; RFC 9457 wants the phrase alone.
        'title': title.partition(' ')[2] if title[:3].isdigit() else title,
        'status': error.status_code,
    }
    if error.description:
        found['detail'] = error.description
    if ours and ours.hint:
        found['hint'] = ours.hint
    if ours and ours.errors:
        found['errors'] = [field.to_document() for field in ours.errors]
    return found
