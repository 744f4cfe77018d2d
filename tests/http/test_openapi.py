"""The document that the service serves says what the service does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import falcon
import falcon.inspect
import jsonschema_rs
import pytest

from rq_leveldb.http import problems
from rq_leveldb.http.application import Application
from rq_leveldb.http.request import job as job_request
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


def test_every_route_is_described_and_nothing_else(
    make_front: Callable[..., Application], document: dict[str, Any]
) -> None:
    described = {(path, method) for path, node in document['paths'].items() for method in node}
    assert described == {(path, method) for path, method, _ in routes(make_front().app)}


def test_the_request_for_a_job_has_the_fields_that_are_read(document: dict[str, Any]) -> None:
    schema = document['components']['schemas']['JobRequest']
    assert set(schema['properties']) == set(job_request._FIELDS)
    assert schema['required'] == ['function']


def test_path_parameters_are_those_of_the_responders(
    make_front: Callable[..., Application], document: dict[str, Any]
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


def test_the_kinds_of_problems_stay_as_clients_know_them() -> None:
    kinds = {kind.kind: kind.http_status for kind in problems.Problem.__subclasses__()}
    assert kinds == {
        'bad-header': 400,
        'bad-host': 400,
        'bad-parameter': 400,
        'batch-too-large': 413,
        'body-too-large': 413,
        'busy-dependencies': 503,
        'cross-site': 403,
        'duplicate-job': 409,
        'expectation-failed': 417,
        'function-not-allowed': 403,
        'headers-too-large': 431,
        'idempotency-key-reused': 422,
        'internal': 500,
        'invalid-field': 422,
        'malformed-json': 400,
        'malformed-request': 400,
        'nested-too-deeply': 400,
        'no-such-cron-entry': 404,
        'no-such-dependency': 409,
        'no-such-job': 404,
        'no-such-queue': 404,
        'no-such-worker': 404,
        'not-found': 404,
        'not-json': 415,
        'one-child-only': 409,
        'store-unavailable': 503,
        'too-many-tries': 429,
        'too-many-waiting': 503,
        'too-slow': 408,
        'unauthorized': 401,
        'unknown-host': 403,
        'unreadable-job': 409,
        'unreadable-record': 409,
        'uri-too-long': 414,
        'wrong-state': 409,
        'wrong-token': 403,
    }


def test_contradictions_are_described_as_they_are_refused(api: Api, document: dict[str, Any]) -> None:
    schema = document['components']['schemas']['JobRequest']
    at = '2030-01-31T12:00:00Z'
    contradictions: list[dict[str, Any]] = [
        {'enqueue_at': at, 'enqueue_in': 5},
        {'enqueue_at': at, 'depends_on': ['a']},
        {'enqueue_in': 5, 'depends_on': 'a'},
        {'unique': True, 'job_id': 'b', 'depends_on': 'a'},
        {'unique': True},
    ]
    for fields in contradictions:
        job = {'function': 'http_tasks.add', **fields}
        assert api.post('/v1/jobs', job).status_code == 422, fields
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema, job)
    accepted: list[dict[str, Any]] = [
        {'unique': False},
        {'unique': True, 'job_id': 'c'},
        {'enqueue_at': at, 'depends_on': None},
    ]
    for fields in accepted:
        job = {'function': 'http_tasks.add', **fields}
        assert api.post('/v1/jobs', job).status_code == 201, fields
        jsonschema_rs.validate(schema, job)
