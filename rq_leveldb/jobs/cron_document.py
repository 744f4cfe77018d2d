"""A cron entry for programs, the same on the command line and over HTTP."""

from __future__ import annotations

from typing import Annotated, TypedDict

from rq_leveldb.jobs.cron_entries import CronEntry
from rq_leveldb.jobs.moment import Moment, timestamp

__all__ = ['CronEntryDocument', 'cron_document']


class CronEntryDocument(TypedDict):
    """A cron entry."""

    id: Annotated[str | None, "Null for an entry of RQ's own `rq cron`, which cannot be changed from outside."]
    name: str
    function: str
    queue: str
    cron: str | None
    interval_seconds: int | None
    is_enabled: bool
    last_at: Moment | None
    next_at: Moment | None
    scheduler: str
    config_file: str | None
    recent_jobs: list[str]


def cron_document(entry: CronEntry) -> CronEntryDocument:
    """Return what is known of a cron entry.

    Args:
        entry: the entry, as it was found.
    """
    definition = entry.definition
    return {
        'id': entry.id,
        'name': definition.name,
        'function': definition.func_name,
        'queue': definition.queue_name,
        'cron': definition.cron,
        'interval_seconds': definition.interval,
        'is_enabled': not entry.is_disabled,
        'last_at': timestamp(entry.last_at),
        'next_at': timestamp(entry.next_at),
        'scheduler': entry.scheduler,
        'config_file': entry.config_file,
        'recent_jobs': entry.recent_jobs,
    }
