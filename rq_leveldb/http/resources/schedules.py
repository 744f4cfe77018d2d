"""What will be enqueued later: scheduled jobs, and cron's entries, which can be run now, disabled and enabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from rq_leveldb.http.documents.job import job_url
from rq_leveldb.http.documents.values import Page, from_seconds
from rq_leveldb.http.problems import NoSuchCronEntry, UnreadableRecord
from rq_leveldb.http.request import query
from rq_leveldb.http.resources.job_actions import NOTHING
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.jobs.cron_document import CronEntryDocument, cron_document
from rq_leveldb.jobs.cron_entries import CronEntry, find_cron_entries, run_now, set_enabled
from rq_leveldb.jobs.moment import Moment, timestamp
from rq_leveldb.lookup import Strange, find_queues, is_refused, registry_key, replies

__all__ = ['routes']

_EntryId = Annotated[str, 'Id of a cron entry.']
_NOT_SORTED_SET = 'holds another type of value than a sorted set'


class ScheduleDocument(TypedDict):
    """The scheduled jobs of a queue."""

    queue: str
    count: int
    next_job: str
    next_job_url: str
    next_at: Moment | None


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
    strange: list[Strange] = []
    entries = find_cron_entries(call.backend.connection, strange)
    return Page([cron_document(entry) for entry in entries], None, strange)


def run_cron_entry(call: Call, entry_id: _EntryId) -> CronEntryDocument:
    """Have a worker enqueue the job of a cron entry now, also of a disabled one; when it is due stays as it is."""
    _entry(call, entry_id)
    return _changed(call, entry_id, run_now(call.backend.connection, entry_id))


def enable_cron_entry(call: Call, entry_id: _EntryId) -> CronEntryDocument:
    """Let a cron entry run when it is due next."""
    _entry(call, entry_id)
    return _changed(call, entry_id, set_enabled(call.backend.connection, entry_id, True))


def disable_cron_entry(call: Call, entry_id: _EntryId) -> CronEntryDocument:
    """Let a cron entry not run until it is enabled."""
    _entry(call, entry_id)
    return _changed(call, entry_id, set_enabled(call.backend.connection, entry_id, False))


def _changed(call: Call, entry_id: str, is_changed: bool) -> CronEntryDocument:
    if not is_changed:
        raise UnreadableRecord(
            f'When the cron entry {entry_id} is due cannot be read.', hint='Its worker writes it anew.'
        )
    return cron_document(_entry(call, entry_id))


def _entry(call: Call, entry_id: str) -> CronEntry:
    for entry in find_cron_entries(call.backend.connection, []):
        if entry.id == entry_id:
            return entry
    raise NoSuchCronEntry(
        f'No running worker has a cron entry {entry_id[:100]!r}.',
        hint="GET /v1/cron lists them. Those of RQ's own `rq cron` have no id: only that process knows them.",
    )


def routes() -> Sequence[Route]:
    """Return the routes."""
    entry, problems = '/v1/cron/{entry_id}', (NoSuchCronEntry, UnreadableRecord)
    return (
        Route('GET', '/v1/schedules', list_schedules, query=query.BY_NAME),
        Route('GET', '/v1/cron', list_cron),
        Route('POST', f'{entry}/run-now', run_cron_entry, problems, body=NOTHING, status=202),
        Route('POST', f'{entry}/enable', enable_cron_entry, problems, body=NOTHING),
        Route('POST', f'{entry}/disable', disable_cron_entry, problems, body=NOTHING),
    )
