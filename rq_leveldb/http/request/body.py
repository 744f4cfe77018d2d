"""JSON in and JSON out: reading a request's body, and writing a response's."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import falcon

from rq_leveldb.http.problems import BodyTooLarge, FieldError, MalformedJson, NestedTooDeeply, NotJson, TooSlow

__all__ = ['JSON', 'answer', 'read']

JSON = 'application/json'
# Deeper values cannot be pickled, shown or compared; RQ's code and a job's own need frames as well.
_DEEPEST = 250
# In a batch, the fields of the jobs are below this path, at this depth.
_BATCH, _BATCH_DEPTH = '/jobs', 3
_EMPTY_OBJECT: dict[str, Any] = {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON')


# Created once: json.loads and json.dumps create one for each call with options.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(separators=(',', ':'), allow_nan=False)


def answer(response: falcon.Response, document: Any) -> None:
    """Make a document the response.

    Args:
        response: the response.
        document: anything that JSON can write.
    """
    response.content_type = JSON
    try:
        text = _ENCODER.encode(document)
    except ValueError:
        # What is stored may have numbers that JSON cannot express.
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
        BodyTooLarge: it is larger.
        NotJson: its Content-Type is another.
        MalformedJson: its content is not JSON.
        NestedTooDeeply: its content is nested too deeply.
        TooSlow: it did not arrive.
    """
    data = _read_bytes(request, limit)
    media_type, _, parameters = (request.content_type or '').partition(';')
    if not data and not required and not media_type:
        return _EMPTY_OBJECT
    if media_type.strip().lower() != JSON:
        raise NotJson(
            f'Content-Type is {media_type.strip()[:100]!r}.' if media_type else 'Content-Type is missing.',
            hint=f'Send Content-Type: {JSON}.',
            errors=[FieldError(f'must be {JSON}', parameter='Content-Type')],
        )
    charset = parameters.replace('"', '').replace(' ', '').lower()
    if charset and charset not in ('charset=utf-8', 'charset=utf8'):
        raise NotJson('JSON is sent in UTF-8.', errors=[FieldError('must be UTF-8', parameter='Content-Type')])
    if not data and not required:
        return _EMPTY_OBJECT
    return _parse(data)


def _read_bytes(request: falcon.Request, limit: int) -> bytes:
    length = request.content_length
    if length is not None:
        if length > limit:
            raise BodyTooLarge(limit)
        data = _receive(request, length) if length else b''
        if len(data) < length:
            raise _not_json('The body is shorter than its Content-Length.')
        return data
    if request.get_header('Transfer-Encoding') is None:
        return b''
    data = _receive(request, limit + 1)
    if len(data) > limit:
        raise BodyTooLarge(limit)
    return data


def _receive(request: falcon.Request, most: int) -> bytes:
    try:
        data: bytes = request.stream.read(most)
    except (BlockingIOError, TimeoutError):
        raise TooSlow('The client stopped sending.') from None
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
    # Half of a surrogate pair is valid JSON, but not text that could be stored: RFC 8259, section 8.2.
    if '\\u' in text:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _not_json('A string has half of a surrogate pair.') from None
    return document


def _check_depth(document: Any) -> None:
    """Make sure that a document is not nested too deeply.

    Raises:
        NestedTooDeeply: it is; the error names the field, and in a batch that of the job.
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


def _too_deep(pointer: str) -> NestedTooDeeply:
    return NestedTooDeeply(errors=[FieldError(f'must be nested at most {_DEEPEST} levels deep', pointer=pointer)])


def _not_json(detail: str) -> MalformedJson:
    return MalformedJson(detail, errors=[FieldError(detail, pointer='')])
