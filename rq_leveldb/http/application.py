"""The WSGI application: which resource answers on which path."""

from __future__ import annotations

import falcon
from redis import Redis

from rq_leveldb.http.access.allow import AllowList
from rq_leveldb.http.access.guard import Guard, Session, Sessions
from rq_leveldb.http.access.tries import Tries
from rq_leveldb.http.page import Page
from rq_leveldb.http.problems import install
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.resources.events import Events
from rq_leveldb.http.resources.health import Functions, Health
from rq_leveldb.http.resources.job_actions import JobActions, RequeueFailed
from rq_leveldb.http.resources.job_result import JobLog, JobResult
from rq_leveldb.http.resources.jobs import Batch, Jobs, OneJob
from rq_leveldb.http.resources.metrics import Metrics
from rq_leveldb.http.resources.observer import Observer
from rq_leveldb.http.resources.queues import OneQueue, Queues, Suspension
from rq_leveldb.http.resources.schedules import Cron, Schedules
from rq_leveldb.http.resources.unreadable import Unreadable
from rq_leveldb.http.resources.workers import OneWorker, Workers
from rq_leveldb.http.routing.head import Head
from rq_leveldb.http.routing.openapi import OpenApi
from rq_leveldb.http.settings import Settings

__all__ = ['Front', 'build']


class Front:
    """The application and what has to be told when it ends.

    Args:
        app: the WSGI application.
        observer: the source of the event streams.
    """

    def __init__(self, app: falcon.App[falcon.Request, falcon.Response], observer: Observer) -> None:
        self.app = app
        self.observer = observer

    def close(self) -> None:
        """End the event streams, so that their threads come free."""
        self.observer.close()


def build(connection: Redis, settings: Settings, token: str | None, allow: AllowList | None = None) -> Front:
    """Make the application.

    Args:
        connection: to the store or to a real Redis server, replies as bytes; used from several threads.
        settings: the settings.
        token: the bearer token; None asks for none.
        allow: the functions that may be enqueued; by default what the settings name, imported now.
    """
    backend = Backend(connection, settings, allow or AllowList(settings.imports, settings.allow))
    sessions = Sessions(token, connection)
    tries = Tries()
    observer = Observer(backend)
    is_local = settings.address.startswith('unix:')
    guard = Guard(sessions, tries, settings.hosts, settings.origins, is_local)
    app = falcon.App(middleware=(Head(), guard))
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    install(app)
    job_actions = JobActions(backend)
    queue = OneQueue(backend)
    worker = OneWorker(backend)
    health = Health(backend)
    page = Page()
    app.add_route('/', page)
    app.add_route('/page/{name}', page, suffix='file')
    app.add_route('/openapi.json', OpenApi(settings))
    app.add_route('/healthz', health)
    app.add_route('/healthz/live', health, suffix='live')
    app.add_route('/healthz/ready', health, suffix='ready')
    app.add_route('/metrics', Metrics(backend, observer))
    app.add_route('/v1/session', Session(sessions, tries))
    app.add_route('/v1/functions', Functions(backend))
    app.add_route('/v1/jobs', Jobs(backend))
    app.add_route('/v1/batch', Batch(backend))
    app.add_route('/v1/requeue-failed', RequeueFailed(backend))
    app.add_route('/v1/jobs/{job_id}', OneJob(backend))
    app.add_route('/v1/jobs/{job_id}/result', JobResult(backend))
    app.add_route('/v1/jobs/{job_id}/log', JobLog(backend))
    app.add_route('/v1/jobs/{job_id}/cancel', job_actions, suffix='cancel')
    app.add_route('/v1/jobs/{job_id}/stop', job_actions, suffix='stop')
    app.add_route('/v1/jobs/{job_id}/requeue', job_actions, suffix='requeue')
    app.add_route('/v1/queues', Queues(backend))
    app.add_route('/v1/queues/{name}', queue)
    app.add_route('/v1/queues/{name}/empty', queue, suffix='empty')
    app.add_route('/v1/suspension', Suspension(backend))
    app.add_route('/v1/workers', Workers(backend))
    app.add_route('/v1/workers/{name}', worker)
    app.add_route('/v1/workers/{name}/shutdown', worker, suffix='shutdown')
    app.add_route('/v1/schedules', Schedules(backend))
    app.add_route('/v1/cron', Cron(backend))
    app.add_route('/v1/unreadable', Unreadable(backend))
    app.add_route('/v1/events', Events(observer, settings.max_streams))
    return Front(app, observer)
