"""Query parameters: read by the same readers as fields; unknown ones are errors."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import falcon

from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.http.request.fields import Invalid, text

__all__ = ['DEFAULT_LIMIT', 'MOST_LIMIT', 'flag', 'limit', 'page_of', 'read_query', 'whole']

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
    for name, given in request.params.items():
        reader = readers.get(name)
        if reader is None:
            errors.append(FieldError('is not a parameter of this request', parameter=name[:100]))
        elif not isinstance(given, str):
            errors.append(FieldError('may be given once', parameter=name))
        else:
            try:
                values[name] = reader(given)
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

    def read(given: str) -> int:
        if not given.isascii() or not given.isdigit() or len(given) > 12 or not least <= int(given) <= most:
            raise Invalid(f'must be a whole number from {least} to {most}')
        return int(given)

    return read


limit = whole(1, MOST_LIMIT)


_BY_NAME: dict[str, Callable[[str], Any]] = {'limit': limit, 'cursor': text(2000)}


def page_of(request: falcon.Request, names: list[str]) -> tuple[list[str], str | None]:
    """Return the part of a list by name that a request asks for, and the cursor of what follows; None at the end.

    Args:
        request: the request.
        names: the whole list, sorted.

    Raises:
        Problem: as `read_query`.
    """
    wanted = read_query(request, _BY_NAME)
    begin = bisect_right(names, wanted['cursor']) if 'cursor' in wanted else 0
    page = names[begin : begin + wanted.get('limit', MOST_LIMIT)]
    return page, page[-1] if names[begin + len(page) :] else None


def flag(given: str) -> bool:
    """Return true or false."""
    if given not in ('true', 'false'):
        raise Invalid('must be true or false')
    return given == 'true'
