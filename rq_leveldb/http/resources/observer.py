"""What happens in the store, as events. They are found by polling, since jobs come and go through plain RQ as well.

While somebody listens, one thread looks at the heads of RQ's queues and registries twice a second and reports what is
new; while nobody listens, nothing runs. Counts are exact. Each job gets its own events as long as no more than a
hundred reach one state of one queue between two looks. Whoever must be certain about a job asks for its result.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from rq.job import Job
from rq.utils import utcparse

from rq_leveldb.errors import StoreError
from rq_leveldb.http.documents.worker import worker_documents
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.lookup import count_jobs, find_workers, is_refused, registry_key, replies

__all__ = ['Event', 'Observer', 'Subscription']

_INTERVAL = 0.5
_HEAD = 100
_KEPT = 1000
_MOST_REMEMBERED = 20_000
_REGISTRIES = ('started', 'finished', 'failed', 'canceled', 'scheduled', 'deferred')
_FIELDS = ('status', 'origin', 'description', 'worker_name', 'enqueued_at', 'started_at', 'ended_at', 'created_at')
_ENDS = ('finished', 'failed', 'stopped', 'canceled')

_log = logging.getLogger('rq_leveldb.http')


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Args:
        number: counts up from 1 in each observer.
        name: `job.enqueued`, `job.started`, `job.finished`, `worker.up`, `counts`, ...
        data: JSON.
    """

    number: int
    name: str
    data: dict[str, Any]


class Subscription:
    """One listener's events, bounded: a listener that does not keep up loses the oldest, and is told.

    Args:
        most: how many wait for it at most.
    """

    def __init__(self, most: int = _KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=most)
        self._changed = threading.Condition()
        self._lost = 0
        self.is_closed = False
        """Whether nothing more will come."""

    def put(self, events: Iterable[Event]) -> None:
        """Add events.

        Args:
            events: in order.
        """
        with self._changed:
            for event in events:
                if len(self._events) == self._events.maxlen:
                    self._lost += 1
                self._events.append(event)
            self._changed.notify()

    def take(self, timeout: float) -> tuple[list[Event], int]:
        """Return what has come, waiting for the first.

        Args:
            timeout: seconds to wait at most.

        Returns:
            The events, and how many were lost before them.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._events or self.is_closed, timeout)
            events, lost = list(self._events), self._lost
            self._events.clear()
            self._lost = 0
            return events, lost

    def close(self) -> None:
        """End the subscription."""
        with self._changed:
            self.is_closed = True
            self._changed.notify()


class Observer:
    """Polls the store while there are listeners.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._recent: deque[Event] = deque(maxlen=_KEPT)
        self._number = 0
        self._counts: Event | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return len(self._subscriptions)

    def subscribe(self, after: int | None = None) -> Subscription:
        """Begin to listen.

        Args:
            after: number of the last event that the listener has seen; later ones that are still kept come first.
        """
        subscription = Subscription()
        with self._lock:
            if self._is_closed:
                subscription.close()
                return subscription
            if after is not None:
                subscription.put(event for event in self._recent if event.number > after)
            elif self._counts is not None and self._thread is not None:
                # They are sent only when they change, and a new listener needs them to begin with.
                subscription.put([self._counts])
            self._subscriptions.add(subscription)
            if self._thread is None:
                self._wake.clear()
                self._thread = threading.Thread(target=self._run, name='observer', daemon=True)
                self._thread.start()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening.

        Args:
            subscription: what `subscribe` returned.
        """
        subscription.close()
        with self._lock:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions and accept no new ones."""
        with self._lock:
            self._is_closed = True
            for subscription in self._subscriptions:
                subscription.close()
            self._wake.set()

    def _run(self) -> None:
        look = _Look(self._backend)
        while True:
            with self._lock:
                if not self._subscriptions or self._is_closed:
                    self._thread = None
                    return
            try:
                found = look.news()
            except Exception as error:
                # Of whatever kind: if the thread ended, everybody who listens would wait in vain.
                is_known = isinstance(error, (RedisError, StoreError))
                _log.warning('The event stream cannot read the store: %s', error, exc_info=not is_known)
                # What happened in the meantime is not known, so the next look starts afresh.
                look = _Look(self._backend)
                found = []
            self._publish(found)
            self._wake.wait(_INTERVAL)

    def _publish(self, found: list[tuple[str, dict[str, Any]]]) -> None:
        with self._lock:
            events = []
            for name, data in found:
                self._number += 1
                event = Event(self._number, name, data)
                events.append(event)
                if name == 'counts':
                    self._counts = event
            self._recent.extend(events)
            for subscription in self._subscriptions:
                subscription.put(events)


class _Look:
    """What was seen last, to find out what is new."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._workers: dict[str, str] | None = None
        self._told: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._counts: dict[str, Any] | None = None
        self._began = time.time()
        self._is_first = True

    def news(self) -> list[tuple[str, dict[str, Any]]]:
        """Look, and return the events since the last time, in order of time."""
        backend = self._backend
        queues = backend.queue_names()
        fresh = self._fresh_jobs(queues)
        events = self._job_events(fresh)
        if self._is_first:
            # Remembered, so that what has already happened to them is not reported later.
            events = []
        events += self._worker_events()
        events += self._count_events(queues)
        self._is_first = False
        return events

    def _fresh_jobs(self, queues: list[str]) -> list[str]:
        """Return the ids that are in a state's head and were not there at the last look, and those that left one."""
        pipe = self._backend.connection.pipeline(transaction=False)
        places = []
        for name in queues:
            queue = self._backend.queue(name)
            # New jobs come to either end.
            places += [(name, 'queued'), (name, 'front')]
            pipe.lrange(queue.key, -_HEAD, -1)
            pipe.lrange(queue.key, 0, 9)
            for state in _REGISTRIES:
                places.append((name, state))
                pipe.zrevrange(registry_key(state, name), 0, _HEAD - 1)
        heads = replies(pipe) if places else []
        fresh: dict[str, None] = {}
        for place, members in zip(places, heads, strict=True):
            if is_refused(members):
                members = []
            ids = {member.decode('utf-8', 'replace').partition(':')[0] for member in members}
            before = self._seen.get(place, set())
            fresh.update(dict.fromkeys(ids - before))
            if place[1] in ('queued', 'front', 'started'):
                # A job may leave here and never reach the head of the next registry.
                fresh.update(dict.fromkeys(before - ids))
            self._seen[place] = ids
        for place in [place for place in self._seen if place[0] not in queues]:
            del self._seen[place]
        return list(fresh)

    def _job_events(self, ids: list[str]) -> list[tuple[str, dict[str, Any]]]:
        pipe = self._backend.connection.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(Job.key_for(job_id), _FIELDS)
        found: list[tuple[str, str, dict[str, Any]]] = []
        for job_id, values in zip(ids, replies(pipe) if ids else [], strict=True):
            if is_refused(values):
                continue
            fields = {
                name: value.decode('utf-8', 'replace') if value else None
                for name, value in zip(_FIELDS, values, strict=True)
            }
            if fields['status'] is not None:
                found += self._stages(job_id, fields)
        return [(name, data) for _, name, data in sorted(found, key=lambda item: item[0])]

    def _stages(self, job_id: str, fields: dict[str, str | None]) -> Iterable[tuple[str, str, dict[str, Any]]]:
        """Return what happened to one job since this look began to look."""
        status = fields['status']
        stages = [('enqueued', fields['enqueued_at']), ('started', fields['started_at'])]
        if status in _ENDS:
            stages.append((status, fields['ended_at'] or fields['created_at']))
        elif status in ('scheduled', 'deferred'):
            stages = [(status, fields['created_at'])]
        for stage, at in stages:
            if at is None:
                continue
            moment = _seconds(at)
            key = (job_id, stage, at)
            if key in self._told or (moment < self._began - 1 and status != 'canceled'):
                continue
            self._told[key] = None
            if len(self._told) > _MOST_REMEMBERED:
                self._told.popitem(last=False)
            data: dict[str, Any] = {
                'job': job_id,
                'queue': fields['origin'],
                'description': (fields['description'] or '')[:200],
                'at': at,
            }
            if stage != 'enqueued':
                data['worker'] = fields['worker_name']
                data['wait_seconds'] = _between(fields['enqueued_at'], fields['started_at'])
            if stage in _ENDS:
                data['duration_seconds'] = _between(fields['started_at'], fields['ended_at'])
            yield at, f'job.{stage}', data

    def _worker_events(self) -> list[tuple[str, dict[str, Any]]]:
        names = find_workers(self._backend.connection).names
        documents = worker_documents(self._backend, names, with_jobs=False)
        now = {item['name']: item['state'] for item in documents}
        events: list[tuple[str, dict[str, Any]]] = []
        if self._workers is not None:
            events += [('worker.up', {'worker': name}) for name in sorted(now.keys() - self._workers.keys())]
            events += [('worker.down', {'worker': name}) for name in sorted(self._workers.keys() - now.keys())]
        self._workers = now
        return events

    def _count_events(self, queues: list[str]) -> list[tuple[str, dict[str, Any]]]:
        new = {
            'queues': dict(zip(queues, count_jobs(self._backend.connection, queues), strict=True)),
            'workers': self._workers,
        }
        if new == self._counts:
            return []
        self._counts = new
        return [('counts', new)]


def _seconds(text: str) -> float:
    try:
        return utcparse(text).timestamp()
    except ValueError:
        return 0.0


def _between(start: str | None, end: str | None) -> float | None:
    return round(_seconds(end) - _seconds(start), 6) if start and end else None
