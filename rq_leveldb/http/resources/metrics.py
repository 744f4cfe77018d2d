"""Numbers for Prometheus, gathered when they are asked for."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from rq_leveldb.client.default_place import url_of
from rq_leveldb.errors import mask_password
from rq_leveldb.http.documents.worker import worker_documents
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.resources.observer import Observer
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.jobs.oldest import oldest_waiting
from rq_leveldb.lookup import count_jobs, find_paused, find_workers, is_refused, replies
from rq_leveldb.records import TALLY_BOUNDS, TALLY_KEY
from rq_leveldb.unreadable import read_aside
from rq_leveldb.version import __version__

__all__ = ['routes']


class _Gather(Collector):
    """Reads the store at each scrape; keeps nothing."""

    def __init__(self, backend: Backend, observer: Observer) -> None:
        self._backend = backend
        self._observer = observer

    def describe(self) -> list[Metric]:
        """Return nothing: prometheus-client would else read the store at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._store()
        yield from self._queues()
        yield from self._workers()
        yield from self._tally()
        yield GaugeMetricFamily(
            'rq_leveldb_unreadable',
            'Keys that were set aside because they could be neither read nor failed.',
            value=len(read_aside(self._backend.connection)),
        )
        yield GaugeMetricFamily('rq_leveldb_http_event_streams', 'Open event streams.', value=self._observer.listeners)
        yield _by_label(
            GaugeMetricFamily(
                'rq_leveldb_info', 'Version of the HTTP front, and its place.', labels=['version', 'place']
            ),
            [(__version__, mask_password(url_of(self._backend.connection) or ''), 1)],
        )

    def _store(self) -> Iterator[Metric]:
        connection = self._backend.connection
        started = time.perf_counter()
        connection.ping()
        yield GaugeMetricFamily(
            'rq_leveldb_store_ping_seconds',
            'Time of one round trip to the store, measured at this scrape.',
            value=time.perf_counter() - started,
        )
        info: dict[str, Any] = connection.info()
        for name, field, text in (
            ('rq_leveldb_store_disk_bytes', 'disk_bytes', 'Size of the database on disk.'),
            ('rq_leveldb_store_memory_bytes', 'used_memory', 'Memory that the store uses.'),
            ('rq_leveldb_store_clients', 'connected_clients', 'Connections to the store.'),
            ('rq_leveldb_store_uptime_seconds', 'uptime_in_seconds', 'Time since the store started.'),
        ):
            value = info.get(field)
            if isinstance(value, (int, float)):
                yield GaugeMetricFamily(name, text, value=value)

    def _queues(self) -> Iterator[Metric]:
        names = self._backend.queue_names()
        counts = count_jobs(self._backend.connection, names)
        yield _by_label(
            GaugeMetricFamily('rq_leveldb_jobs', 'Jobs by queue and state.', labels=['queue', 'state']),
            [
                (name, state, number)
                for name, count in zip(names, counts, strict=True)
                for state, number in count.items()
                if number is not None
            ],
        )
        ages = oldest_waiting(self._backend.connection, self._backend.reader, names)
        text = 'How long the job at the front of a queue has waited.'
        yield _by_label(
            GaugeMetricFamily('rq_leveldb_oldest_waiting_seconds', text, labels=['queue']),
            [(name, age or 0.0) for name, age in zip(names, ages, strict=True)],
        )
        paused = find_paused(self._backend.connection).names
        text = '1 if workers take nothing from a queue because it is paused, else 0.'
        yield _by_label(
            GaugeMetricFamily('rq_leveldb_queue_paused', text, labels=['queue']),
            [(name, int(name in paused)) for name in names],
        )

    def _workers(self) -> Iterator[Metric]:
        names = find_workers(self._backend.connection).names
        found = worker_documents(self._backend, names, with_jobs=False)
        states = Counter(item['state'] for item in found)
        yield _by_label(
            GaugeMetricFamily('rq_leveldb_workers', 'Running workers by state.', labels=['state']),
            sorted(states.items()),
        )
        yield _by_label(
            GaugeMetricFamily('rq_leveldb_children', 'Running children by worker.', labels=['worker']),
            [(item['name'], len(item['children'])) for item in found],
        )
        yield _by_label(
            GaugeMetricFamily('rq_leveldb_max_children', 'Maximum number of children by worker.', labels=['worker']),
            [(item['name'], item['max_children']) for item in found if item['max_children'] is not None],
        )
        text = 'Jobs that a running worker has ended.'
        yield _by_label(
            CounterMetricFamily('rq_leveldb_worker_jobs', text, labels=['worker', 'outcome']),
            [
                sample
                for item in found
                for sample in ((item['name'], 'finished', item['finished']), (item['name'], 'failed', item['failed']))
            ],
        )
        text = 'Time that a running worker has spent on jobs.'
        yield _by_label(
            CounterMetricFamily('rq_leveldb_worker_working_seconds', text, labels=['worker']),
            [(item['name'], item['working_seconds']) for item in found],
        )

    def _tally(self) -> Iterator[Metric]:
        (raw,) = replies(self._backend.connection.pipeline(transaction=False).hgetall(TALLY_KEY))
        if is_refused(raw):
            raw = {}
        numbers: dict[tuple[str, ...], float] = {}
        for name, value in raw.items():
            parts = name.decode('utf-8', 'replace')
            # The queue's name comes last, and may have any character.
            key = tuple(parts.split('|', {'bucket': 3, 'sum': 2}.get(parts.partition('|')[0], 1)))
            number = _finite(value)
            if number is not None and _is_counted(key):
                numbers[key] = number
        yield _by_label(
            CounterMetricFamily('rq_leveldb_jobs_started', 'Jobs that workers have run.', labels=['queue']),
            [(key[1], number) for key, number in sorted(numbers.items()) if key[0] == 'started'],
        )
        for outcome in ('finished', 'failed'):
            text = f'Jobs that {outcome}, over all workers.'
            yield CounterMetricFamily(f'rq_leveldb_jobs_{outcome}', text, value=numbers.get((outcome, ''), 0.0))
        for kind, text in (('duration', 'How long jobs ran.'), ('wait', 'How long jobs waited in their queue.')):
            yield _histogram(kind, text, numbers)


def _by_label(family: GaugeMetricFamily | CounterMetricFamily, samples: Iterable[tuple[Any, ...]]) -> Metric:
    """Add samples to a family, each its labels and then its value."""
    for *labels, value in samples:
        family.add_metric(labels, value)
    return family


def _finite(value: bytes) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_counted(key: tuple[str, ...]) -> bool:
    """Say whether a field of the tally has the form that the workers write; others would break what is derived."""
    if key[0] != 'bucket':
        return len(key) == (3 if key[0] == 'sum' else 2)
    try:
        return len(key) == 4 and float(key[2]) in TALLY_BOUNDS
    except ValueError:
        return False


def _histogram(kind: str, text: str, numbers: dict[tuple[str, ...], float]) -> HistogramMetricFamily:
    """Return a histogram by queue from the fields `bucket|KIND|BOUND|QUEUE` and `sum|KIND|QUEUE`."""
    family = HistogramMetricFamily(f'rq_leveldb_job_{kind}_seconds', text, labels=['queue'])
    by_queue: dict[str, list[tuple[float, float]]] = {}
    for key, number in numbers.items():
        if len(key) == 4 and key[:2] == ('bucket', kind):
            by_queue.setdefault(key[3], []).append((float(key[2]), number))
    for queue, counted in sorted(by_queue.items()):
        # All bounds each time, also those that nothing fell under: Prometheus wants the same series at every scrape.
        buckets = [
            ('+Inf' if bound == float('inf') else repr(bound), sum(number for top, number in counted if top <= bound))
            for bound in TALLY_BOUNDS
        ]
        family.add_metric([queue], buckets, sum_value=numbers.get(('sum', kind, queue), 0.0))
    return family


def routes(backend: Backend, observer: Observer) -> Sequence[Route]:
    """Return the routes.

    Args:
        backend: the store.
        observer: whose listeners are counted.
    """
    registry = CollectorRegistry()
    registry.register(_Gather(backend, observer))

    def metrics(call: Call) -> None:
        """Show the metrics in Prometheus' text format."""
        call.response.content_type = CONTENT_TYPE_LATEST
        call.response.data = generate_latest(registry)

    return (Route('GET', '/metrics', metrics, media_type='text/plain'),)
