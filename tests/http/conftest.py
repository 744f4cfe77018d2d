"""The front over a real store: in this process for most tests, as the process that users run for some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from rq import Queue, SimpleWorker

from rq_leveldb import Redis
from rq_leveldb.http.application import Application, build
from rq_leveldb.http.settings import HttpSettings
from tests.http.support import TOKEN, Api, FrontProcess


@pytest.fixture
def connection(url: str) -> Iterator[redis.Redis]:
    """Return a client of the place."""
    with Redis.from_url(url) as client:
        yield client


@pytest.fixture
def make_front(connection: redis.Redis) -> Iterator[Callable[..., Application]]:
    """Return what makes the application with other settings."""
    made: list[Application] = []

    def make(token: str | None = TOKEN, **settings: Any) -> Application:
        chosen = {'imports': ('http_tasks',), 'allow': ('http_tasks.*',), **settings}
        front = build(connection, HttpSettings(**chosen), token)
        made.append(front)
        return front

    yield make
    for front in made:
        front.close()


@pytest.fixture
def api(make_front: Callable[..., Application]) -> Api:
    """Return a client of the application with the usual settings."""
    return Api(make_front())


@pytest.fixture
def work(connection: redis.Redis) -> Callable[..., None]:
    """Return what runs all jobs that wait."""

    def run(*names: str) -> None:
        queues = [Queue(name, connection=connection) for name in names or ('default',)]
        SimpleWorker(queues, connection=connection).work(burst=True)

    return run


@pytest.fixture
def start_front(url: str) -> Iterator[Callable[..., FrontProcess]]:
    """Return what starts the front as a process."""
    started: list[FrontProcess] = []

    def start(*options: str, **environ: str) -> FrontProcess:
        front = FrontProcess(url, *options, **environ)
        started.append(front)
        return front

    yield start
    for front in started:
        front.stop()
