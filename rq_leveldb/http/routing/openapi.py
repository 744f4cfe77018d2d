"""The OpenAPI document (3.1): every route as it is declared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_type_hints

from rq_leveldb.http import problems
from rq_leveldb.http.request import body
from rq_leveldb.http.request.fields import Field, Schema, ref
from rq_leveldb.http.routing.route import Route
from rq_leveldb.http.routing.schema import Components
from rq_leveldb.version import __version__

__all__ = ['describe']

# What may go wrong with every route, and with every route that takes a body.
_ALWAYS = (
    *(problems.BadParameter, problems.BadHost, problems.MalformedRequest, problems.UnknownHost, problems.CrossSite),
    *(problems.UriTooLong, problems.StoreUnavailable, problems.TooManyWaiting),
)
_WITH_BODY = (
    *(problems.MalformedJson, problems.NestedTooDeeply, problems.BodyTooLarge, problems.NotJson),
    problems.InvalidField,
)

_TEXT: Schema = {'type': 'string'}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document.

    Args:
        routes: all routes.
    """
    components = Components()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'rq-leveldb',
            'version': __version__,
            'description': 'Jobs over HTTP. Every error is a problem document (RFC 9457).',
            'license': {'name': 'BSD-2-Clause', 'identifier': 'BSD-2-Clause'},
        },
        'security': [{'token': []}],
        'paths': paths,
        'components': {
            'securitySchemes': {
                'token': {'type': 'http', 'scheme': 'bearer', 'description': 'Printed by `rq-leveldb token`.'}
            },
            'schemas': components.schemas,
        },
    }


def _operation(route: Route, components: Components) -> dict[str, Any]:
    summary = _first_line(route.respond)
    hints = get_type_hints(route.respond, include_extras=True)
    responses = _problems(route, components)
    answer = responses[route.status] = {'description': summary}
    if route.media_type != body.JSON:
        answer['content'] = {route.media_type: {'schema': _TEXT}}
    elif hints['return'] is not type(None):
        answer['content'] = {route.media_type: {'schema': components.of(hints['return'])}}
    if route.gives:
        answer['headers'] = {name: {'description': text, 'schema': _TEXT} for name, text in route.gives.items()}
    if route.also is not None:
        responses[route.also]['content'] = answer['content']
    head, *words = route.respond.__name__.split('_')
    node: dict[str, Any] = {
        'operationId': head + ''.join(map(str.title, words)),
        'summary': summary,
        'responses': {str(status): responses[status] for status in sorted(responses)},
    }
    parts = {name: Field(str, components.of(hints[name]), True) for name in re.findall(r'{(\w+)}', route.path)}
    places = (('path', parts), ('query', route.query or {}), ('header', route.headers))
    parameters = [_parameter(name, place, field) for place, fields in places for name, field in fields.items()]
    if parameters:
        node['parameters'] = parameters
    if route.body is not None:
        components.schemas[route.body.name] = route.body.schema
        node['requestBody'] = {
            'required': bool(route.body.required),
            'content': {body.JSON: {'schema': ref(route.body.name)}},
        }
    if route.is_open:
        node['security'] = []
    return node


def _problems(route: Route, components: Components) -> dict[int, dict[str, Any]]:
    kinds = [
        *_ALWAYS,
        *(() if route.is_open else (problems.Unauthorized,)),
        *(_WITH_BODY if route.body is not None else ()),
        *((problems.BadHeader,) if route.headers else ()),
        *route.problems,
    ]
    descriptions: dict[int, list[str]] = {}
    for kind in kinds:
        descriptions.setdefault(kind.http_status, []).append(_first_line(kind))
    content = {problems.MEDIA_TYPE: {'schema': components.of(problems.ProblemDocument)}}
    return {status: {'description': ' '.join(texts), 'content': content} for status, texts in descriptions.items()}


def _parameter(name: str, place: str, field: Field) -> dict[str, Any]:
    schema = dict(field.schema)
    description = schema.pop('description')
    return {'name': name, 'in': place, 'required': field.is_required, 'description': description, 'schema': schema}


def _first_line(described: object) -> str:
    return (described.__doc__ or '').strip().partition('\n')[0]
