"""gunicorn's threaded worker, with problem documents for what its parser refuses, and our lines in the log."""

from __future__ import annotations

import errno
import functools
import json
import logging
import selectors
import socket
from typing import Any

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from rq_leveldb.http.problems import MEDIA_TYPE, Problem, body

__all__ = ['FrontLogger', 'FrontWorker']


class FrontLogger(Logger):  # type: ignore[misc]
    """gunicorn's log in the form of the worker's, into which it is merged."""

    error_fmt = '%(asctime)s http: %(message)s'
    access_fmt = 'http: %(message)s'
    datefmt = '%H:%M:%S'

    def setup(self, cfg: Any) -> None:
        """Set up gunicorn's loggers, and ours in the same form."""
        super().setup(cfg)
        ours = logging.getLogger('rq_leveldb')
        ours.handlers[:] = self.error_log.handlers
        ours.propagate = False


class FrontWorker(ThreadWorker):  # type: ignore[misc]
    """The process that serves."""

    core: int | None = None
    """The core that it is bound to."""

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, which gets a thread only when it has something to say."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.set_timeout()
        self.pending_conns.append(connection)
        self.poller.register(
            client, selectors.EVENT_READ, functools.partial(self.on_pending_socket_readable, connection)
        )

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to end: also the event streams, which would go on for ever."""
        front = getattr(self.app, 'front', None)
        if front is not None:
            front.close()
        super().handle_exit(sig, frame)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that could not be read."""
        if isinstance(exc, (BlockingIOError, TimeoutError)):
            return
        problem = _problem(exc)
        if problem.status_code == 500:
            self.log.error('A request failed', exc_info=exc)
        content = json.dumps(body(problem)).encode()
        head = (
            f'HTTP/1.1 {problem.status_code} {_PHRASES[problem.status_code]}\r\n'
            f'Connection: close\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(content)}\r\n\r\n'
        )
        try:
            util.write_nonblock(client, head.encode('latin-1') + content)
        except OSError:
            self.log.debug('The client went before it was told what was wrong with its request.')


_PHRASES = {
    400: 'Bad Request',
    414: 'URI Too Long',
    417: 'Expectation Failed',
    431: 'Request Header Fields Too Large',
    500: 'Internal Server Error',
}


def _problem(exc: BaseException) -> Problem:
    if isinstance(exc, LimitRequestLine):
        return Problem(414, 'uri-too-long', 'The URI is too long')
    if isinstance(exc, LimitRequestHeaders):
        return Problem(431, 'headers-too-large', 'The header fields are too large')
    if isinstance(exc, ExpectationFailed):
        return Problem(417, 'expectation-failed', 'This expectation cannot be met')
    if isinstance(exc, ParseException):
        text = str(exc).encode('ascii', 'replace').decode()
        return Problem(400, 'malformed-request', 'The request cannot be understood', text[:200])
    return Problem(500, 'internal', 'The service failed', 'This is a defect. The log of the HTTP front says more.')
