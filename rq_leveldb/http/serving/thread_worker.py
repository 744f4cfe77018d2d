"""gunicorn's threaded worker, in which only whole requests get a thread; and our lines in its log."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import logging
import os
import selectors
import signal
import socket
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import falcon
from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from rq_leveldb.http import problems
from rq_leveldb.http.problems import Problem
from rq_leveldb.http.serving.connection import Connection
from rq_leveldb.http.serving.crowd import Crowd, Wait
from rq_leveldb.http.serving.inbox import Stage
from rq_leveldb.http.settings import HttpSettings

__all__ = ['FrontLogger', 'FrontWorker']

# Bodies of the largest size that may be arriving at a time, by their bytes: what has arrived of all of them.
_BODIES = 8
_HEALTH_THREADS = 2
# How long a client may take to hang up after the last answer, and how long idle ones are kept when the service stops,
# seconds.
_LINGER = 2.0


class FrontLogger(Logger):  # type: ignore[misc]
    """gunicorn's log in the format of the worker's log, in which it appears."""

    error_fmt = '%(asctime)s http: %(message)s'
    access_fmt = 'http: %(message)s'
    datefmt = '%H:%M:%S'

    def setup(self, cfg: Any) -> None:
        """Set up gunicorn's loggers, and ours in the same format."""
        super().setup(cfg)
        ours = logging.getLogger('rq_leveldb')
        ours.handlers[:] = self.error_log.handlers
        ours.propagate = False


class FrontWorker(ThreadWorker):  # type: ignore[misc]
    """The process that serves.

    Its loop receives requests and never waits for one client. A connection gets a thread once a whole request has
    arrived and there is room for its answer, so slow clients occupy no threads.
    """

    core: int | None = None
    """The core that it is bound to."""

    def init_process(self) -> None:
        """Prepare and run the loop; called in the new process."""
        settings: HttpSettings = self.app.settings
        self._max_body = settings.max_body
        self._most_held = _BODIES * settings.max_body
        self._crowd: Crowd[Connection] = Crowd(
            {
                Wait.IDLE: self.cfg.keepalive,
                Wait.HEAD: settings.head_seconds,
                Wait.BODY: settings.body_seconds,
                Wait.OUTPUT: settings.head_seconds,
                Wait.END: _LINGER,
            },
            self.worker_connections,
            settings.max_per_address,
        )
        # Health checks are answered even when all other threads are busy.
        self._health_pool = ThreadPoolExecutor(_HEALTH_THREADS)
        self._last_client = time.monotonic()
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._drop(self._crowd.dispensable())
            elif error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise
            return
        connection = Connection(self.cfg, client, address, listener.getsockname(), self._max_body)
        connection.on_event = functools.partial(self._on_event, connection)
        self.nr_conns += 1
        surplus = self._crowd.enter(connection)
        self._watch(connection, selectors.EVENT_READ)
        self._drop(surplus)

    def enqueue_req(self, conn: Connection) -> None:
        """Have a thread serve a request that has arrived."""
        pool = self._health_pool if conn.inbox.is_about_health else self.tpool
        served = pool.submit(self.handle, conn)
        served.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Take a connection back from the thread that served it."""
        try:
            is_kept = fs.result()
        except (CancelledError, Exception):
            is_kept = False
        if is_kept:
            conn.begin_next()
            self._go_on(conn)
        else:
            self._end(conn)

    def murder_pending(self) -> None:
        """Close connections whose time is up; called after each round of the loop."""
        if not self.alive:
            self._crowd.shorten(Wait.IDLE, _LINGER)
        for connection in self._crowd.overdue():
            if connection.wait in (Wait.HEAD, Wait.BODY):
                self._refuse(connection, problems.TooSlow('It must arrive as a whole within a time limit.'))
            else:
                self._drop(connection)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        """End the whole service if nobody has been connected for so long as was asked for."""
        idle: float = self.app.idle
        if not idle or self.nr_conns:
            self._last_client = time.monotonic()
        elif self.alive and time.monotonic() - self._last_client > idle:
            os.kill(self.ppid, signal.SIGTERM)
            self._last_client = time.monotonic()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop, the event streams included, which would go on forever."""
        front = getattr(self.app, 'front', None)
        if front is not None:
            front.close()
        super().handle_exit(sig, frame)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that could not be read."""
        problem = _problem(exc)
        if problem.status_code == 500:
            self.log.error('A request failed', exc_info=exc)
        try:
            util.write_nonblock(client, _answer(problem))
        except OSError:
            self.log.debug('The client disconnected before it could be told what was wrong with its request.')

    def _on_event(self, connection: Connection, sock: socket.socket) -> None:
        if connection.wait is None:
            # A thread serves it. It is still watched, until the client sends something: to stop watching would cost two
            # system calls per request.
            self._watch(connection, 0)
            return
        if connection.wait is Wait.END:
            if connection.discard():
                self._drop(connection)
            return
        try:
            if connection.wait is not Wait.OUTPUT and not connection.receive():
                return
        except OSError:
            self._drop(connection)
            return
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Give a request to a thread if all of it has arrived; else receive the rest."""
        try:
            stage = connection.inbox.look()
        except Problem as problem:
            self._refuse(connection, problem)
            return
        if stage is Stage.WHOLE:
            if connection.can_be_answered():
                self._watch(connection, selectors.EVENT_READ)
                self._crowd.wait(connection, None)
                self.enqueue_req(connection)
            else:
                self._watch(connection, selectors.EVENT_WRITE)
                self._crowd.wait(connection, Wait.OUTPUT)
        elif stage is Stage.NOTHING and connection.inbox.is_ended:
            self._drop(connection)
        else:
            self._expect_more(connection, _WAITS[stage])

    def _expect_more(self, connection: Connection, wait: Wait) -> None:
        if wait is Wait.BODY and connection.wait is not Wait.BODY and connection.inbox.expects_continue:
            connection.say(b'HTTP/1.1 100 Continue\r\n\r\n')
        self._watch(connection, selectors.EVENT_READ)
        self._crowd.wait(connection, wait, len(connection.inbox) if wait is Wait.BODY else 0)
        while self._crowd.held > self._most_held and (slowest := self._crowd.oldest(Wait.BODY)) is not None:
            self._refuse(slowest, problems.TooManyWaiting(_TOO_MANY_BODIES, hint='Try again later.'))

    def _refuse(self, connection: Connection, problem: Problem) -> None:
        connection.say(_answer(problem))
        self._end(connection)

    def _end(self, connection: Connection) -> None:
        """Send nothing more, and wait until the client has read what was sent: a reset would destroy it."""
        if connection.say_no_more():
            self._watch(connection, selectors.EVENT_READ)
            self._crowd.wait(connection, Wait.END)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            self._watch(connection, 0)
            self._crowd.leave(connection)
            self.nr_conns -= 1
            connection.close()

    def _watch(self, connection: Connection, events: int) -> None:
        """Have the loop call the connection's `on_event` for these events, and no others."""
        if events == connection.watched:
            return
        if events and connection.watched:
            self.poller.modify(connection.sock, events, connection.on_event)
        elif events:
            self._forget(connection.sock.fileno())
            self.poller.register(connection.sock, events, connection.on_event)
        else:
            self._forget(connection.sock)
        connection.watched = events

    def _forget(self, sock: socket.socket | int) -> None:
        # gunicorn's thread closes a socket itself if an answer broke off, and its number may belong to another by now.
        with contextlib.suppress(KeyError, ValueError):
            self.poller.unregister(sock)


_WAITS = {Stage.NOTHING: Wait.IDLE, Stage.HEAD: Wait.HEAD, Stage.BODY: Wait.BODY}
_TOO_MANY_BODIES = 'Too many large bodies are arriving at the same time, and this one has taken longest.'


def _answer(problem: Problem) -> bytes:
    """Return a whole response, the last one on its connection."""
    content = json.dumps(problems.document(problem)).encode()
    fields = {
        'Connection': 'close',
        'Content-Type': problems.MEDIA_TYPE,
        'Content-Length': str(len(content)),
        **dict(problem.headers or {}),
    }
    head = [f'HTTP/1.1 {falcon.code_to_http_status(problem.status_code)}', *map(': '.join, fields.items())]
    return '\r\n'.join([*head, '', '']).encode('latin-1') + content


def _problem(exc: BaseException) -> Problem:
    if isinstance(exc, LimitRequestLine):
        return problems.UriTooLong()
    if isinstance(exc, LimitRequestHeaders):
        return problems.HeadersTooLarge()
    if isinstance(exc, ExpectationFailed):
        return problems.ExpectationFailed()
    if isinstance(exc, ParseException):
        return problems.MalformedRequest(str(exc).encode('ascii', 'replace').decode()[:200])
    return problems.Internal()
