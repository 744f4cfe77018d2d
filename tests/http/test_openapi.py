"""The document that the service serves says what the service does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import falcon
import falcon.inspect
import pytest

from rq_leveldb.http import job_request
from rq_leveldb.http.application import Front
from tests.http.support import Api

METHODS = ('get', 'post', 'put', 'patch', 'delete')


def routes(app: falcon.App[Any, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield path, method and responder of everything that is routed."""
    for route in falcon.inspect.inspect_app(app).routes:
        for method in route.methods:
            if not method.internal:
                yield route.path, method.method.lower(), method


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    return dict(api.get('/openapi.json').json)


def test_every_route_is_described_and_nothing_else(make_front: Callable[..., Front], document: dict[str, Any]) -> None:
    described = {(path, method) for path, node in document['paths'].items() for method in node}
    assert described == {(path, method) for path, method, _ in routes(make_front().app)}


def test_the_request_for_a_job_has_the_fields_that_are_read(document: dict[str, Any]) -> None:
    schema = document['components']['schemas']['JobRequest']
    assert set(schema['properties']) == set(job_request._FIELDS)
    assert schema['required'] == ['function']


def test_path_parameters_are_those_of_the_responders(
    make_front: Callable[..., Front], document: dict[str, Any]
) -> None:
    for path, node in document['paths'].items():
        for operation in node.values():
            named = {item['name'] for item in operation.get('parameters', ()) if item['in'] == 'path'}
            assert named == set(falcon_fields(path)), path


def falcon_fields(path: str) -> list[str]:
    return [part[1:-1] for part in path.split('/') if part.startswith('{')]


def test_references_lead_somewhere_and_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation['operationId'] for node in document['paths'].values() for operation in node.values()]
    assert len(names) == len(set(names))
    schemas = document['components']['schemas']
    for reference in references(document):
        assert reference.removeprefix('#/components/schemas/') in schemas


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == '$ref':
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)
