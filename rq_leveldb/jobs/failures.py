"""Failed jobs grouped by function and type of error."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from rq_leveldb.jobs.error_text import read_error
from rq_leveldb.jobs.listing import Listed
from rq_leveldb.reading import Reader, read_call

__all__ = ['FailureGroup', 'group_failures']

_HOURS = 24


@dataclass
class FailureGroup:
    """Failed jobs of one function with one type of error.

    Args:
        error_type: the exception's type, as `ErrorText.kind` has it.
        function: the function.
        error: of the latest job, in one line.
        latest_job: id of the latest job.
        latest_at: when that ended.
        count: number of jobs.
        queues: names of their queues.
        per_hour: how many failed in each of the last 24 hours, the current one last.
    """

    error_type: str
    function: str | None
    error: str
    latest_job: str
    latest_at: datetime | None
    count: int = 0
    queues: list[str] = field(default_factory=list)
    per_hour: list[int] = field(default_factory=lambda: [0] * _HOURS)


def group_failures(reader: Reader, entries: Iterable[Listed]) -> list[FailureGroup]:
    """Return failed jobs in groups, the largest first.

    Args:
        reader: reads the jobs.
        entries: the failed jobs with their errors, the newest first.
    """
    now = time.time()
    groups: dict[tuple[str, str | None], FailureGroup] = {}
    for entry in entries:
        if entry.seen is None:
            continue
        job = entry.seen.job
        error = read_error(entry.error)
        function = read_call(reader, job.data)[0]
        group = groups.setdefault(
            (error.kind, function), FailureGroup(error.kind, function, error.line, job.id, job.ended_at)
        )
        group.count += 1
        if entry.queue not in group.queues:
            group.queues.append(entry.queue)
        hours = _HOURS if job.ended_at is None else max(0, int((now - job.ended_at.timestamp()) // 3600))
        if hours < _HOURS:
            group.per_hour[-1 - hours] += 1
    return sorted(groups.values(), key=lambda group: -group.count)
