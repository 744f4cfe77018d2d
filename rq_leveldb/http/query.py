"""Query parameters: read by the same readers as fields; unknown ones are errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import falcon

from rq_leveldb.http.fields import Invalid
from rq_leveldb.http.problems import FieldError, Problem

__all__ = ['DEFAULT_LIMIT', 'MOST_LIMIT', 'flag', 'limit', 'read_query', 'whole']

DEFAULT_LIMIT = 50
MOST_LIMIT = 500


def read_query(request: falcon.Request, readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Read the query of a request.

    Args:
        request: the request.
        readers: for every parameter that may be there, what reads its text.

    Returns:
        The values by name.

    Raises:
        Problem: 400, naming each parameter that is not accepted.
    """
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in request.params.items():
        reader = readers.get(name)
        if reader is None:
            errors.append(FieldError('is not a parameter of this request', parameter=name[:100]))
        elif not isinstance(text, str):
            errors.append(FieldError('may be given once', parameter=name))
        else:
            try:
                values[name] = reader(text)
            except Invalid as error:
                errors.append(FieldError(error.detail, parameter=name))
    if errors:
        raise bad_query(errors)
    return values


def bad_query(errors: list[FieldError]) -> Problem:
    """Return the error for parameters that are not accepted.

    Args:
        errors: what is wrong, at least one.
    """
    return Problem(
        400,
        'bad-parameter',
        'A query parameter has a value that is not accepted',
        f'{errors[0].parameter} {errors[0].detail}.',
        errors=errors,
    )


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of integers in decimal.

    Args:
        least: the smallest that is accepted.
        most: the largest.
    """

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
            raise Invalid(f'must be a whole number from {least} to {most}')
        return int(text)

    return read


limit = whole(1, MOST_LIMIT)


def flag(text: str) -> bool:
    """Return true or false."""
    if text not in ('true', 'false'):
        raise Invalid('must be true or false')
    return text == 'true'
