"""The live stream of events (server-sent events: HTML standard, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import falcon

from rq_leveldb.http.queueing.backend import Slots
from rq_leveldb.http.request import query
from rq_leveldb.http.resources.observer import Observer

__all__ = ['Events']

# Seconds of silence after which a comment is sent: it finds out whether the client is still there.
_HEARTBEAT = 10.0
_RETRY_MILLISECONDS = 2000


class Events:
    """The stream.

    Args:
        observer: the source.
        most: most streams at a time.
    """

    def __init__(self, observer: Observer, most: int) -> None:
        self._observer = observer
        self._slots = Slots(most, 'event streams')

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Stream events until the client goes."""
        wanted = query.read_query(request, {'limit': query.whole(1, 100_000)})
        last = request.get_header('Last-Event-ID') or ''
        after = int(last) if last.isascii() and last.isdigit() and len(last) <= 12 else None
        self._slots.take()
        response.content_type = 'text/event-stream'
        response.set_header('Cache-Control', 'no-store')
        response.set_header('X-Accel-Buffering', 'no')
        response.stream = _Stream(self._observer, self._slots, after, wanted.get('limit'))


class _Stream:
    """The body: text of events as they come."""

    def __init__(self, observer: Observer, slots: Slots, after: int | None, limit: int | None) -> None:
        self._observer = observer
        self._slots = slots
        self._subscription = observer.subscribe(after)
        self._limit = limit
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        yield f'retry: {_RETRY_MILLISECONDS}\n\n'.encode()
        sent = 0
        while not self._subscription.is_closed:
            events, lost = self._subscription.take(_HEARTBEAT)
            if lost:
                yield f'event: gap\ndata: {{"lost":{lost}}}\n\n'.encode()
            if not events:
                yield b': still here\n\n'
                continue
            if self._limit is not None:
                events = events[: self._limit - sent]
            sent += len(events)
            yield b''.join(
                f'id: {event.number}\nevent: {event.name}\ndata: {json.dumps(event.data)}\n\n'.encode()
                for event in events
            )
            if self._limit is not None and sent >= self._limit:
                return

    def close(self) -> None:
        """Give the slot back; called by the server when the response has ended, however it did."""
        if self._is_open:
            self._is_open = False
            self._observer.unsubscribe(self._subscription)
            self._slots.give_back()
