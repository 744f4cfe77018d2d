"""The bytes that arrived on a connection, read by gunicorn's parser: whether they are a whole request. No I/O."""

from __future__ import annotations

import enum
import re

from gunicorn.http.errors import NoMoreData

from rq_leveldb.http.problems import BodyTooLarge, HeadersTooLarge

__all__ = ['Inbox', 'Stage']

_LONGEST_HEAD = 64 * 1024
# Of a line with a chunk's size; what is longer is refused by gunicorn.
_LONGEST_LINE = 8190
_HEALTH = (b'GET /healthz', b'HEAD /healthz')
_FIELD = re.compile(rb'\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)', re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb'[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(;.*)?', re.DOTALL)


class Stage(enum.Enum):
    """How far a request has arrived."""

    NOTHING = 'nothing'
    HEAD = 'head'
    BODY = 'body'
    WHOLE = 'whole'


class Inbox:
    """The bytes of a request, and of those that were sent behind it.

    It finds the end of a request, and nothing else. If it cannot tell, the request counts as whole: gunicorn's parser
    decides what a request is and says what is wrong with it, without waiting.

    Args:
        max_body: largest body, bytes.
    """

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._data = bytearray()
        self.is_ended = False
        self._begin()

    def _begin(self) -> None:
        self._taken = 0
        self._searched = 0
        self._body_at = 0
        self._end = 0
        self._chunk_at: int | None = None
        self.expects_continue = False

    def __len__(self) -> int:
        return len(self._data)

    @property
    def is_about_health(self) -> bool:
        """Whether it begins as a request of whoever supervises the service."""
        return self._data.startswith(_HEALTH)

    @property
    def missing(self) -> int:
        """How many bytes of a body are known to be missing."""
        return max(0, self._end - len(self._data)) if self._body_at else 0

    def feed(self, data: bytes) -> None:
        """Take what a socket's recv() returned.

        Args:
            data: the bytes; none when the client has said all.
        """
        self._data += data
        self.is_ended = self.is_ended or not data

    def look(self) -> Stage:
        """Return how far the request has arrived.

        Raises:
            BodyTooLarge: its body is too large.
            HeadersTooLarge: its head is too large.
        """
        data = self._data
        if self.is_ended:
            return Stage.WHOLE if data else Stage.NOTHING
        if not self._body_at:
            found = data.find(b'\r\n\r\n', self._searched)
            if found < 0:
                self._searched = max(0, len(data) - 3)
                if len(data) > _LONGEST_HEAD:
                    raise HeadersTooLarge
                return Stage.HEAD if data else Stage.NOTHING
            self._body_at = self._end = found + 4
            self._read_head(found)
        if self._chunk_at is None:
            return Stage.WHOLE if len(data) >= self._end else Stage.BODY
        return self._look_at_chunks(self._chunk_at)

    def recv(self, size: int) -> bytes:
        """Return bytes as a socket does, to gunicorn's parser.

        Args:
            size: how many at most.

        Raises:
            NoMoreData: there are none, and the client has not said that it sends no more.
        """
        taken = self._taken
        data = self._data[taken : taken + size]
        if not data and not self.is_ended:
            raise NoMoreData
        self._taken = taken + len(data)
        return bytes(data)

    def begin_next(self, read_ahead: bytes) -> None:
        """Turn to the next request.

        Args:
            read_ahead: what the parser has read of it.
        """
        # Not cleared in place: large bodies would leave their room behind.
        self._data = bytearray(read_ahead) + self._data[self._taken :]
        self._begin()

    def _read_head(self, end: int) -> None:
        lengths, codings = [], []
        for name, value in _FIELD.findall(self._data, 0, end):
            if name[:1] in b'cC':
                lengths.append(value.rstrip())
            elif name[:1] in b'tT':
                codings.append(value.rstrip().lower())
            else:
                self.expects_continue = self._data.find(b' HTTP/1.1\r\n', 0, end) >= 0
        if codings == [b'chunked'] and not lengths:
            self._chunk_at = self._body_at
        elif len(lengths) == 1 and not codings and lengths[0].isdigit():
            # More digits than any length that is taken: int() takes time that grows with their square.
            length = int(lengths[0]) if len(lengths[0]) < 20 else self._max_body + 1
            if length > self._max_body:
                raise BodyTooLarge(self._max_body)
            self._end += length

    def _look_at_chunks(self, at: int) -> Stage:
        """Walk over the chunks, as RFC 9112, section 7.1, lays them out."""
        data = self._data
        while True:
            if at - self._body_at > self._max_body:
                raise BodyTooLarge(self._max_body)
            self._chunk_at = at
            self._end = at
            line_end = data.find(b'\r\n', at, at + _LONGEST_LINE)
            if line_end < 0:
                return Stage.BODY if len(data) - at < _LONGEST_LINE else Stage.WHOLE
            size = _CHUNK_SIZE.fullmatch(data, at, line_end)
            if size is None:
                return Stage.WHOLE
            length = int(size[1], 16)
            if not length:
                return self._look_at_trailers(line_end)
            at = line_end + 2 + length + 2

    def _look_at_trailers(self, line_end: int) -> Stage:
        data = self._data
        # None: the empty line follows at once. gunicorn's own limit is as long as a head's here.
        is_there = data.find(b'\r\n\r\n', line_end) >= 0 or len(data) - line_end > _LONGEST_HEAD
        return Stage.WHOLE if is_there else Stage.BODY
