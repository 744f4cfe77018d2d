"""The entries of cron: which there are, and running one now or disabling it.

Each scheduler lists its own in the store, for the time of its life. Those of this package's workers have an id, under
which the store has what is known of them; those of RQ's own `rq cron` are known to that process alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import cron_scheduler_registry
from rq.cron import CronJob, get_cron_job_history_key
from rq.defaults import DEFAULT_CRON_SCHEDULER_TTL, RQ_KEY_PREFIX

from rq_leveldb.cron_due import Due, due_key
from rq_leveldb.lookup import Fields, Strange, is_refused, replies
from rq_leveldb.unreadable import Fault, show_bytes

__all__ = ['CronEntry', 'find_cron_entries', 'run_now', 'set_enabled']

_RECENT = 10
_SCHEDULER = f'{RQ_KEY_PREFIX}:cron_scheduler:'


@dataclass(frozen=True)
class CronEntry:
    """An entry, as far as its scheduler tells.

    Args:
        id: its id; None of RQ's own `rq cron`, which nobody can tell anything.
        definition: RQ's object for it, without the function.
        scheduler: name of the scheduler that has it.
        config_file: the file that it stands in.
        recent_jobs: ids of the jobs that were enqueued for it, the newest first.
        last_at: when the last one was.
        next_at: when it is due; None if it is disabled.
        is_disabled: whether it is left out when it is due.
    """

    id: str | None
    definition: CronJob
    scheduler: str
    config_file: str | None
    recent_jobs: list[str]
    last_at: datetime | None
    next_at: datetime | None
    is_disabled: bool


def find_cron_entries(connection: Redis, strange: list[Strange]) -> list[CronEntry]:
    """Return the entries of all running cron schedulers.

    Args:
        connection: the store.
        strange: receives what is stored where entries should be.
    """
    entries: list[CronEntry] = []
    for name, fields in _schedulers(connection, strange):
        listed = fields.list('cron_jobs')
        config_file = fields.text('config_file')
        for number, entry in enumerate(listed):
            try:
                entries.append(_entry(connection, entry, name, config_file))
            except RedisError:
                raise
            except Exception as error:
                value = json.dumps(entry).encode()
                fields.faults.append(Fault(f'cron_jobs/{number}', value, f'{type(error).__name__}: {error}'))
        strange += [Strange(f'{_SCHEDULER}{name}', str(fault)) for fault in fields.faults]
    return entries


def _schedulers(connection: Redis, strange: list[Strange]) -> Iterator[tuple[str, Fields]]:
    """Find the running cron schedulers; RQ's method removes the others, and reads all or none."""
    registry = cron_scheduler_registry.get_registry_key()
    pipe = connection.pipeline(transaction=False)
    pipe.zrangebyscore(registry, time.time() - DEFAULT_CRON_SCHEDULER_TTL, '+inf')
    (members,) = replies(pipe)
    if is_refused(members):
        strange.append(Strange(registry, 'holds another type of value than a sorted set'))
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


def _entry(connection: Redis, listed: dict[str, Any], scheduler: str, config_file: str | None) -> CronEntry:
    definition = CronJob.from_dict(listed)
    entry_id = listed.get('id')
    for value in (definition.name, definition.func_name, definition.queue_name, entry_id or ''):
        if not isinstance(value, str):
            raise TypeError(f'{value!r} is not a string')
    pipe = connection.pipeline(transaction=False)
    pipe.zrange(get_cron_job_history_key(definition.name), 0, _RECENT - 1, desc=True)
    pipe.get(due_key(entry_id or ''))
    recent, text = replies(pipe)
    due = None if is_refused(text) or text is None else Due.decode(text)
    last_at, next_at = definition.latest_enqueue_time, definition.next_enqueue_time
    if due is not None:
        # The list is written a moment after it.
        last_at, next_at = _time(due.last), _time(None if due.is_disabled else due.at)
    return CronEntry(
        id=entry_id or None,
        definition=definition,
        scheduler=scheduler,
        config_file=config_file,
        recent_jobs=[] if is_refused(recent) else [member.decode('utf-8', 'replace') for member in recent],
        last_at=last_at,
        next_at=next_at,
        is_disabled=due is not None and due.is_disabled,
    )


def _time(moment: float | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc)


def run_now(connection: Redis, entry_id: str) -> bool:
    """Have a worker enqueue an entry's job within a second, also of a disabled one. When it is due stays as it is.

    Args:
        connection: the store.
        entry_id: the entry; of the entries that are found.

    Returns:
        Whether a worker has written when it is due.
    """
    return _change(connection, entry_id, lambda due: replace(due, is_wanted=True))


def set_enabled(connection: Redis, entry_id: str, is_enabled: bool) -> bool:
    """Let an entry run when it is due, or leave it out; arguments and result otherwise as for `run_now`.

    Args:
        connection: the store.
        entry_id: the entry.
        is_enabled: whether it runs. What was left out meanwhile is not made up for.
    """
    return _change(connection, entry_id, lambda due: replace(due, is_disabled=not is_enabled))


def _change(connection: Redis, entry_id: str, change: Callable[[Due], Due]) -> bool:
    key = due_key(entry_id)

    def write(pipe: Any) -> Any:
        text = pipe.get(key)
        due = None if text is None else Due.decode(text)
        pipe.multi()
        if due is not None:
            changed = change(due)
            pipe.set(key, changed.encode(), ex=changed.lifetime(time.time()))
        return due is not None

    # A worker that moves it on meanwhile comes first; then this begins again.
    return bool(connection.transaction(write, key, value_from_callable=True))
