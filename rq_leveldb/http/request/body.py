"""JSON in and JSON out: what a body may be, and how large."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import falcon

from rq_leveldb.http.problems import FieldError, Problem

__all__ = ['JSON', 'answer', 'read', 'read_object', 'too_large']

JSON = 'application/json'
# Deeper values cannot be pickled, shown or compared; RQ's code and a job's own need frames as well.
_DEEPEST = 250
# A batch has the fields of its jobs below this, and at this depth.
_BATCH, _BATCH_DEPTH = '/jobs', 3
_EMPTY_OBJECT: dict[str, Any] = {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON')


# Made once: json.loads and json.dumps make one each time where they are given options.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(separators=(',', ':'), allow_nan=False)


def answer(response: falcon.Response, document: Any, status: str = falcon.HTTP_200) -> None:
    """Make a document the response.

    Args:
        response: the response.
        document: anything that JSON can write.
        status: its status line.
    """
    response.status = status
    response.content_type = JSON
    try:
        text = _ENCODER.encode(document)
    except ValueError:
        # What is stored may hold numbers that JSON has no words for.
        text = _ENCODER.encode(_finite(document))
    response.data = text.encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def read(request: falcon.Request, limit: int, *, required: bool = True) -> Any:
    """Return a request's JSON.

    Args:
        request: the request.
        limit: largest body, bytes.
        required: whether there must be a body; without one an empty object is returned.

    Raises:
        Problem: 413 too large, 415 not JSON by its Content-Type, 400 not JSON by its content.
    """
    data = _read_bytes(request, limit)
    media_type, _, parameters = (request.content_type or '').partition(';')
    if not data and not required and not media_type:
        return _EMPTY_OBJECT
    if media_type.strip().lower() != JSON:
        raise Problem(
            415,
            'not-json',
            'The body must be JSON',
            f'Content-Type is {media_type.strip()[:100]!r}.' if media_type else 'Content-Type is missing.',
            hint=f'Send Content-Type: {JSON}.',
            errors=[FieldError(f'must be {JSON}', parameter='Content-Type')],
        )
    charset = parameters.replace('"', '').replace(' ', '').lower()
    if charset and charset not in ('charset=utf-8', 'charset=utf8'):
        raise Problem(
            415,
            'not-json',
            'The body must be JSON',
            'JSON is sent in UTF-8.',
            errors=[FieldError('only charset=utf-8 is known', parameter='Content-Type')],
        )
    if not data and not required:
        return _EMPTY_OBJECT
    return _parse(data)


def read_object(request: falcon.Request, limit: int, *, required: bool = True) -> dict[str, Any]:
    """Return a request's JSON object.

    Args:
        request: the request.
        limit: largest body, bytes.
        required: whether there must be a body.

    Raises:
        Problem: as `read`; 422 where it is JSON, and no object.
    """
    document = read(request, limit, required=required)
    if type(document) is not dict:
        raise Problem(
            422,
            'invalid-field',
            'A field has a value that is not accepted',
            'The body must be an object.',
            errors=[FieldError('must be an object', pointer='')],
        )
    return document


def _read_bytes(request: falcon.Request, limit: int) -> bytes:
    length = request.content_length
    if length is not None:
        if length > limit:
            raise too_large(limit)
        data = _receive(request, length) if length else b''
        if len(data) < length:
            raise _not_json('The body is shorter than its Content-Length.')
        return data
    if request.get_header('Transfer-Encoding') is None:
        return b''
    data = _receive(request, limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def _receive(request: falcon.Request, most: int) -> bytes:
    try:
        data: bytes = request.stream.read(most)
    except (BlockingIOError, TimeoutError):
        raise Problem(
            408, 'too-slow', 'The body did not come', 'The client stopped sending.', headers={'Connection': 'close'}
        ) from None
    except Exception as error:
        # Each server has its own errors for a chunk that is malformed, or a connection that broke off.
        raise _not_json(f'The body cannot be read: {type(error).__name__}.') from None
    return data


def _parse(data: bytes) -> Any:
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError as error:
        raise _not_json(f'The body is not UTF-8: {error.reason} at byte {error.start}.') from None
    try:
        document = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep('') from None
    except ValueError as error:
        raise _not_json(str(error)[:200]) from None
    if text.count('[') + text.count('{') > _DEEPEST:
        _check_depth(document)
    # Half of a surrogate pair is JSON by grammar and no text that could be stored: RFC 8259, section 8.2.
    if '\\u' in text:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _not_json('A string holds half of a surrogate pair.') from None
    return document


def _check_depth(document: Any) -> None:
    """Make sure that a document is not nested too deeply.

    Raises:
        Problem: 400, naming the field: of a batch, that of the job.
    """
    # One level after the other, since recursion is what is to be avoided; each value with the field that it is in.
    level: list[tuple[str, Any]] = [('', document)]
    depth = 0
    while level:
        if depth == _DEEPEST:
            raise _too_deep(level[0][0])
        below: list[tuple[str, Any]] = []
        for pointer, value in level:
            is_named = not depth or (depth < _BATCH_DEPTH and pointer.startswith(_BATCH))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for name, item in items:
                if isinstance(item, (dict, list)):
                    below.append((_pointer_to(pointer, name) if is_named else pointer, item))
        level = below
        depth += 1


def _pointer_to(pointer: str, name: object) -> str:
    """Return the JSON pointer of a part: RFC 6901, section 3."""
    return f'{pointer}/{str(name)[:100].replace("~", "~0").replace("/", "~1")}'


def _too_deep(pointer: str) -> Problem:
    detail = f'must be nested at most {_DEEPEST} levels deep'
    return Problem(
        400,
        'nested-too-deeply',
        'The body is nested too deeply',
        f'{pointer or "The body"} {detail}.',
        hint='Pass the value as text, or store it elsewhere and pass its name.',
        errors=[FieldError(detail, pointer=pointer)],
    )


def too_large(limit: int) -> Problem:
    """Return the error for a body that is too large.

    Args:
        limit: the largest, bytes.
    """
    return Problem(
        413,
        'body-too-large',
        'The body is too large',
        f'At most {limit} bytes are accepted.',
        hint='Send fewer jobs at a time, or store the data elsewhere and pass its name.',
        headers={'Connection': 'close'},
    )


def _not_json(detail: str) -> Problem:
    return Problem(400, 'malformed-json', 'The body is not JSON', detail, errors=[FieldError(detail, pointer='')])
