"""One reader for each kind of field: it returns the value as RQ wants it, or says what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from rq_leveldb.http.problems import FieldError, Problem

__all__ = [
    'DURATION',
    'EPOCH',
    'IDENTIFIER',
    'LONGEST',
    'POSITIVE_DURATION',
    'QUEUE',
    'Invalid',
    'boolean',
    'choice',
    'identifier',
    'integer',
    'moment',
    'number',
    'object_',
    'read_fields',
    'refuse',
    'seconds',
    'text',
]

Value = TypeVar('Value')

LONGEST = 10 * 366 * 86400
"""The longest duration that is accepted, seconds: ten years."""
IDENTIFIER = r'^[A-Za-z0-9_-]{1,200}$'
"""RQ's job ids (rq.job.validate_job_id), with a length."""
QUEUE = r'^[A-Za-z0-9_][A-Za-z0-9_.:@+~-]{0,127}$'
"""Names of queues that can stand in a URL and in RQ's comma-separated lists."""

DURATION = r'^([0-9]{1,8}[sS]?|[0-9]{1,6}[mM]|[0-9]{1,4}[hH]|[0-9]{1,3}[dD])$'
"""Durations as text; whatever matches is shorter than `LONGEST`."""
POSITIVE_DURATION = (
    DURATION.replace('[0-9]{1,8}', '[1-9][0-9]{0,7}')
    .replace('[0-9]{1,6}', '[1-9][0-9]{0,5}')
    .replace('[0-9]{1,4}', '[1-9][0-9]{0,3}')
    .replace('[0-9]{1,3}', '[1-9][0-9]{0,2}')
)
"""The same without those of no length."""

_DURATION = re.compile(DURATION)
_UNITS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}
_MOMENT = re.compile(
    r'[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,30})?([Zz]|[+-][0-9]{2}:[0-9]{2})'
)


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""The earliest time that is told apart from others."""
_END = datetime(9999, 12, 31, tzinfo=timezone.utc)


class Invalid(ValueError):
    """A value that is not accepted.

    Args:
        detail: what was expected.
        pointer: JSON pointer to it from the value that was read.
    """

    def __init__(self, detail: str, pointer: str = '') -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


def read_fields(
    document: Any, readers: Mapping[str, Callable[[Any], Any]], required: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[FieldError]]:
    """Read an object's fields; null counts as not given.

    Args:
        document: what should be an object.
        readers: for every field that may be there, what reads it.
        required: the fields that must be there.

    Returns:
        The values by name, and what is wrong with the others.
    """
    if type(document) is not dict:
        return {}, [FieldError('must be an object', pointer='')]
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in document.items():
        reader = readers.get(name)
        if reader is None:
            errors.append(FieldError('is not a field of this request', pointer=_pointer(name)))
        elif value is not None:
            try:
                values[name] = reader(value)
            except Invalid as error:
                errors.append(FieldError(error.detail, pointer=_pointer(name) + error.pointer))
    for name in required:
        if document.get(name) is None:
            errors.append(FieldError('is required', pointer=_pointer(name)))
    return values, errors


def refuse(errors: list[FieldError]) -> Problem:
    """Return the error for fields that are not accepted.

    Args:
        errors: what is wrong, at least one.
    """
    first = errors[0]
    where = first.parameter or first.pointer or 'The body'
    return Problem(
        422,
        'invalid-field',
        'A field has a value that is not accepted',
        f'{where} {first.detail}.',
        errors=errors,
    )


def _pointer(name: str) -> str:
    return '/' + name[:100].replace('~', '~0').replace('/', '~1')


def text(longest: int, pattern: str | None = None, expected: str = 'has characters that are not accepted') -> Any:
    """Return a reader of strings.

    Args:
        longest: most characters.
        pattern: what all of it must match.
        expected: what is said where it does not.
    """
    compiled = re.compile(pattern) if pattern else None

    def read(value: Any) -> str:
        if type(value) is not str:
            raise Invalid('must be a string')
        if not value or len(value) > longest:
            raise Invalid(f'must have 1 to {longest} characters')
        # A trailing line feed matches before $ in Python and not in ECMA 262, which JSON schema means.
        if compiled is not None and (compiled.search(value) is None or value[-1] == '\n'):
            raise Invalid(expected)
        return value

    return read


identifier = text(200, IDENTIFIER, 'may have letters, digits, underscores and dashes only')


def boolean(value: Any) -> bool:
    """Return true or false."""
    if type(value) is not bool:
        raise Invalid('must be true or false')
    return value


def integer(least: int, most: int) -> Callable[[Any], int]:
    """Return a reader of integers.

    Args:
        least: the smallest that is accepted.
        most: the largest.
    """

    def read(value: Any) -> int:
        # JSON schema counts 1.0 as an integer, and some languages write it so.
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise Invalid('must be an integer')
        if not least <= value <= most:
            raise Invalid(f'must be {least} to {most}')
        return value

    return read


def number(least: float, most: float) -> Callable[[Any], float]:
    """Return a reader of numbers.

    Args:
        least: the smallest that is accepted.
        most: the largest.
    """

    def read(value: Any) -> float:
        if type(value) not in (int, float):
            raise Invalid('must be a number')
        if not least <= value <= most:
            raise Invalid(f'must be {least:g} to {most:g}')
        return float(value)

    return read


def seconds(*also: int, least: int = 0) -> Callable[[Any], int]:
    """Return a reader of durations: whole seconds, or digits with one of the units s, m, h, d.

    Args:
        also: values that are accepted besides, such as -1 for no limit.
        least: the shortest that is accepted.
    """

    def read(value: Any) -> int:
        if type(value) is str:
            if _DURATION.fullmatch(value) is None:
                raise Invalid('must be seconds, or digits with one of the units s, m, h, d')
            unit = value[-1].lower()
            value = int(value.rstrip('sSmMhHdD')) * _UNITS.get(unit, 1)
        elif type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise Invalid('must be whole seconds, or digits with one of the units s, m, h, d')
        if value not in also and not least <= value <= LONGEST:
            others = ''.join(f', or {item}' for item in also)
            raise Invalid(f'must be {least} to {LONGEST} seconds{others}')
        return value

    return read


def moment(value: Any) -> datetime:
    """Return a point in time from a string as RFC 3339 has it."""
    if type(value) is not str or _MOMENT.fullmatch(value) is None:
        raise Invalid('must be a date and time with its offset, as 2030-01-31T12:00:00Z (RFC 3339)')
    plain = value.upper().replace('Z', '+00:00').replace(' ', 'T')
    if plain[17:19] == '60':
        # A leap second, which Python does not know.
        plain = f'{plain[:17]}59{plain[19:]}'
    head, dot, rest = plain.partition('.')
    if dot:
        digits = re.match(r'[0-9]+', rest)
        assert digits is not None
        # Python before 3.11 reads three or six digits only.
        plain = f'{head}.{digits[0][:6]:0<6}{rest[digits.end() :]}'
    try:
        read = datetime.fromisoformat(plain).astimezone(timezone.utc)
    except ValueError:
        raise Invalid('must be a date and time that exist') from None
    except OverflowError:
        return EPOCH if plain.startswith('0001') else _END
    # RQ's scheduler looks from the epoch on: what is earlier would never be found.
    return max(read, EPOCH)


def object_(value: Any) -> dict[str, Any]:
    """Return an object."""
    if type(value) is not dict:
        raise Invalid('must be an object')
    return value


def choice(*names: str) -> Callable[[Any], str]:
    """Return a reader of one of some words.

    Args:
        names: the words.
    """

    def read(value: Any) -> str:
        if type(value) is not str or value not in names:
            raise Invalid(f'must be one of {", ".join(names)}')
        return value

    return read
