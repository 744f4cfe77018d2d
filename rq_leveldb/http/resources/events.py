"""The live stream of events (server-sent events: HTML standard, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rq_leveldb.http.request import query
from rq_leveldb.http.resources.observer import Observer
from rq_leveldb.http.resources.slots import Slots
from rq_leveldb.http.routing.route import Call, Route

__all__ = ['routes']

# Seconds without events after which a comment is sent, to find out whether the client is still connected.
_HEARTBEAT = 10.0
_RETRY_MILLISECONDS = 2000


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
        """Release the slot; the server calls this when the response has ended for whatever reason."""
        if self._is_open:
            self._is_open = False
            self._observer.unsubscribe(self._subscription)
            self._slots.give_back()


def routes(observer: Observer, most: int) -> Sequence[Route]:
    """Return the routes.

    Args:
        observer: the source of the events.
        most: most streams at a time.
    """
    slots = Slots(most, 'event streams')

    def events(call: Call) -> None:
        """Stream events until the client goes (server-sent events)."""
        last = call.request.get_header('Last-Event-ID') or ''
        after = int(last) if last.isascii() and last.isdigit() and len(last) <= 12 else None
        slots.take()
        response = call.response
        response.content_type = 'text/event-stream'
        response.set_header('Cache-Control', 'no-store')
        response.set_header('X-Accel-Buffering', 'no')
        response.stream = _Stream(observer, slots, after, call.query.get('limit'))

    limit = query.whole(1, 100_000).described('Number of events after which the stream ends.')
    return (Route('GET', '/v1/events', events, query={'limit': limit}, media_type='text/event-stream'),)
