"""The WSGI application: all routes, who may pass, and how errors are answered."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import falcon
from redis import Redis

from rq_leveldb.http import page
from rq_leveldb.http.access.allow import AllowList
from rq_leveldb.http.access.guard import Guard
from rq_leveldb.http.access.sessions import Sessions
from rq_leveldb.http.access.tries import Tries
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.resources import (
    description,
    events,
    failures,
    functions,
    health,
    history,
    job_actions,
    job_result,
    jobs,
    metrics,
    queues,
    schedules,
    session,
    suspension,
    unreadable,
    workers,
)
from rq_leveldb.http.resources.observer import Observer
from rq_leveldb.http.routing import errors
from rq_leveldb.http.routing.head import Head
from rq_leveldb.http.routing.openapi import describe
from rq_leveldb.http.routing.route import Route, responder
from rq_leveldb.http.settings import HttpSettings

__all__ = ['Application', 'build']


class Application:
    """The application, and what must be closed when it ends.

    Args:
        app: the WSGI application.
        observer: the source of the event streams.
    """

    def __init__(self, app: falcon.App[falcon.Request, falcon.Response], observer: Observer) -> None:
        self.app = app
        self.observer = observer

    def close(self) -> None:
        """End the event streams, so that their threads become free."""
        self.observer.close()


def build(connection: Redis, settings: HttpSettings, token: str | None, allow: AllowList | None = None) -> Application:
    """Make the application.

    Args:
        connection: to the store or to a real Redis server, replies as bytes; used from several threads.
        settings: the settings.
        token: the bearer token; None requires none.
        allow: the functions that may be enqueued; by default what the settings name, imported now.
    """
    backend = Backend(connection, settings, allow or AllowList(settings.imports, settings.allow))
    sessions, tries = Sessions(token, connection), Tries()
    observer = Observer(backend)
    routes: list[Route] = [
        *page.routes(),
        # Once all routes are known, and once only.
        *description.routes(functools.cache(lambda: describe(routes))),
        *health.routes(backend),
        *metrics.routes(backend, observer),
        *session.routes(sessions, tries),
        *functions.routes(),
        *jobs.routes(backend),
        *job_result.routes(backend),
        *job_actions.routes(),
        *failures.routes(),
        *queues.routes(),
        *history.routes(),
        *suspension.routes(),
        *workers.routes(),
        *schedules.routes(),
        *unreadable.routes(),
        *events.routes(observer, settings.max_streams),
    ]
    open_paths = [route.path for route in routes if route.is_open]
    is_local = settings.address.startswith('unix:')
    guard = Guard(sessions, tries, open_paths, settings.hosts, settings.origins, is_local)
    app = falcon.App(middleware=(Head(), guard))
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    errors.install(app)
    resources: dict[str, SimpleNamespace] = {}
    for route in routes:
        resource = resources.setdefault(route.path, SimpleNamespace())
        setattr(resource, f'on_{route.method.lower()}', responder(route, backend))
    for path, resource in resources.items():
        app.add_route(path, resource)
    return Application(app, observer)
