"""What will be enqueued later: scheduled jobs, and cron's entries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TypedDict

from redis import Redis
from redis.exceptions import RedisError
from rq import cron_scheduler_registry
from rq.cron import CronJob, get_cron_job_history_key
from rq.defaults import DEFAULT_CRON_SCHEDULER_TTL, RQ_KEY_PREFIX

from rq_leveldb.http.documents.job import job_url
from rq_leveldb.http.documents.values import Moment, Page, from_seconds, timestamp
from rq_leveldb.http.request import query
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.lookup import Fields, Strange, find_queues, is_refused, registry_key, replies
from rq_leveldb.unreadable import Fault, show_bytes

__all__ = ['routes']

_RECENT = 10
_SCHEDULER = f'{RQ_KEY_PREFIX}:cron_scheduler:'
_NOT_SORTED_SET = 'holds another type of value than a sorted set'


class ScheduleDocument(TypedDict):
    """The scheduled jobs of a queue."""

    queue: str
    count: int
    next_job: str
    next_job_url: str
    next_at: Moment | None


class CronEntryDocument(TypedDict):
    """A cron entry."""

    name: str
    function: str
    queue: str
    cron: str | None
    interval_seconds: int | None
    last_at: Moment | None
    next_at: Moment | None
    scheduler: str
    config_file: str | None
    recent_jobs: list[str]


def list_schedules(call: Call) -> Page[ScheduleDocument]:
    """List the queues that have scheduled jobs, by name.

    A page is of all queues; those without scheduled jobs are left out of it.
    """
    connection = call.backend.connection
    queues = find_queues(connection)
    names, more = query.page_of(queues.names, call.query)
    strange = list(queues.strange)
    pipe = connection.pipeline(transaction=False)
    keys = [registry_key('scheduled', name) for name in names]
    for key in keys:
        pipe.zcard(key)
        pipe.zrange(key, 0, 0, withscores=True)
    found = replies(pipe) if keys else []
    items: list[ScheduleDocument] = []
    for name, key, count, first in zip(names, keys, found[::2], found[1::2], strict=True):
        if is_refused(count) or is_refused(first):
            strange.append(Strange(key, _NOT_SORTED_SET))
        elif count and first:
            job_id = first[0][0].decode('utf-8', 'replace')
            items.append(
                {
                    'queue': name,
                    'count': count,
                    'next_job': job_id,
                    'next_job_url': job_url(job_id),
                    'next_at': timestamp(from_seconds(first[0][1])),
                }
            )
    return Page(items, more, strange)


def list_cron(call: Call) -> Page[CronEntryDocument]:
    """List the entries of all running cron schedulers."""
    connection = call.backend.connection
    items: list[CronEntryDocument] = []
    strange: list[Strange] = []
    for name, fields in _schedulers(connection, strange):
        entries = fields.list('cron_jobs')
        config_file = fields.text('config_file')
        for number, entry in enumerate(entries):
            try:
                items.append(_entry(connection, CronJob.from_dict(entry), name, config_file))
            except RedisError:
                raise
            except Exception as error:
                value = json.dumps(entry).encode()
                fields.faults.append(Fault(f'cron_jobs/{number}', value, f'{type(error).__name__}: {error}'))
        strange += [Strange(f'{_SCHEDULER}{name}', str(fault)) for fault in fields.faults]
    return Page(items, None, strange)


def _schedulers(connection: Redis, strange: list[Strange]) -> Iterator[tuple[str, Fields]]:
    """Find the running cron schedulers; RQ's method removes the others, and reads all or none."""
    registry = cron_scheduler_registry.get_registry_key()
    pipe = connection.pipeline(transaction=False)
    pipe.zrangebyscore(registry, time.time() - DEFAULT_CRON_SCHEDULER_TTL, '+inf')
    (members,) = replies(pipe)
    if is_refused(members):
        strange.append(Strange(registry, _NOT_SORTED_SET))
        return
    for member in members:
        try:
            name = member.decode()
        except UnicodeDecodeError:
            strange.append(Strange(registry, f'{show_bytes(member)} in it is not UTF-8'))
            continue
        pipe.hgetall(f'{_SCHEDULER}{name}')
        (raw,) = replies(pipe)
        if is_refused(raw) or raw:
            yield name, Fields(raw, f'{_SCHEDULER}{name}')


def _entry(connection: Redis, entry: CronJob, scheduler: str, config_file: str | None) -> CronEntryDocument:
    for value in (entry.name, entry.func_name, entry.queue_name):
        if not isinstance(value, str):
            raise TypeError(f'{value!r} is not a string')
    pipe = connection.pipeline(transaction=False)
    pipe.zrange(get_cron_job_history_key(entry.name), 0, _RECENT - 1, desc=True)
    (recent,) = replies(pipe)
    return {
        'name': entry.name,
        'function': entry.func_name,
        'queue': entry.queue_name,
        'cron': entry.cron,
        'interval_seconds': entry.interval,
        'last_at': timestamp(entry.latest_enqueue_time),
        'next_at': timestamp(entry.next_enqueue_time),
        'scheduler': scheduler,
        'config_file': config_file,
        'recent_jobs': [] if is_refused(recent) else [member.decode('utf-8', 'replace') for member in recent],
    }


def routes() -> Sequence[Route]:
    """Return the routes."""
    return (
        Route('GET', '/v1/schedules', list_schedules, query=query.BY_NAME),
        Route('GET', '/v1/cron', list_cron),
    )
