"""Query parameters: fields that arrive as text. Unknown parameters are errors."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import falcon

from rq_leveldb.http.problems import BadParameter, FieldError
from rq_leveldb.http.request.fields import Field, Invalid, Schema, text

__all__ = ['BY_NAME', 'flag', 'limit', 'page_of', 'read_query', 'whole']

_MOST_LIMIT = 500


def read_query(request: falcon.Request, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read the query of a request.

    Args:
        request: the request.
        fields: the parameters that are accepted, by name.

    Returns:
        The values by name, with the defaults of those that were not given.

    Raises:
        BadParameter: naming each parameter that is not accepted or is missing.
    """
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, given in request.params.items():
        field = fields.get(name)
        if field is None:
            errors.append(FieldError('is not a parameter of this request', parameter=name[:100]))
        elif not isinstance(given, str):
            errors.append(FieldError('must not be given more than once', parameter=name))
        else:
            try:
                values[name] = field.read(given)
            except Invalid as error:
                errors.append(FieldError(error.detail, parameter=name))
    for name, field in fields.items():
        if name in request.params:
            continue
        if field.is_required:
            errors.append(FieldError('is required', parameter=name))
        elif 'default' in field.schema:
            values[name] = field.schema['default']
    if errors:
        raise BadParameter(errors=errors)
    return values


def whole(least: int, most: int, default: int | None = None) -> Field:
    """Return the kind of integers in decimal.

    Args:
        least: the smallest that is accepted.
        most: the largest.
        default: the value where it is not given.
    """

    def read(given: str) -> int:
        if not given.isascii() or not given.isdigit() or len(given) > 12 or not least <= int(given) <= most:
            raise Invalid(f'must be a whole number from {least} to {most}')
        return int(given)

    schema: Schema = {'type': 'integer', 'minimum': least, 'maximum': most}
    return Field(read, schema if default is None else {**schema, 'default': default})


def _read_flag(given: str) -> bool:
    if given not in ('true', 'false'):
        raise Invalid('must be true or false')
    return given == 'true'


flag = Field(_read_flag, {'type': 'boolean'})


def limit(default: int) -> Field:
    """Return the parameter that bounds a page.

    Args:
        default: how many items a page has where it is not given.
    """
    return whole(1, _MOST_LIMIT, default).described('Most items on a page.')


BY_NAME: Mapping[str, Field] = {
    'limit': limit(_MOST_LIMIT),
    'cursor': text(2000).described('Where the page begins: `next` of the page before.'),
}
"""The parameters of a list by name."""


def page_of(names: list[str], wanted: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """Return the part of a list by name that a request asks for, and the cursor of what follows; None at the end.

    Args:
        names: the whole list, sorted.
        wanted: the request's parameters, read by `BY_NAME`.
    """
    begin = bisect_right(names, wanted['cursor']) if 'cursor' in wanted else 0
    page = names[begin : begin + wanted['limit']]
    return page, page[-1] if names[begin + len(page) :] else None
