"""Records that cannot be read: which field of a job is broken, and the list of what had to be set aside.

RQ's own API writes some (`Retry(max=2.0)`); other versions and other clients write more. `Job.restore` raises whatever
the first broken field leads to. This module finds that field, so that the job can fail with a reason that a person
understands, and everything else continues.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError
from rq.utils import now, utcformat

from .records import UNREADABLE_KEY

if TYPE_CHECKING:
    from redis import Redis
    from rq.job import Job

__all__ = [
    'Aside',
    'Fault',
    'UnreadableJob',
    'find_faults',
    'is_wrong_type',
    'list_aside',
    'read_aside',
    'restore_job',
    'show_bytes',
]

# Longer values are cut in messages.
_SHOWN = 100
# The list is for people; a program that writes nonsense must not fill the store with it.
_MOST_LISTED = 1000
# EXPIRE adds the current time and counts milliseconds in 64 bits.
_LONGEST_TTL = 9_000_000_000_000_000
_TTLS = ('timeout', 'result_ttl', 'failure_ttl', 'ttl')
_NUMBERS = ('retries_left', 'number_of_retries', 'repeats_left', 'rate_limit_concurrency')
_LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True)
class Fault:
    """One field of a job that cannot be read.

    Args:
        field: its name; '' if no single field is to blame.
        value: what stands there.
        error: what is wrong with it, in words.
    """

    field: str
    value: bytes
    error: str

    def __str__(self) -> str:
        """Return a sentence without a full stop."""
        if not self.field:
            return f'the record cannot be read: {self.error}'
        return f'field {self.field!r} cannot be read: {show_bytes(self.value)} ({self.error})'


class UnreadableJob(Exception):
    """A job whose record cannot be read.

    Args:
        job_id: which job.
        faults: what is broken, at least one.
    """

    def __init__(self, job_id: str, faults: list[Fault]) -> None:
        self.job_id = job_id
        self.faults = faults
        super().__init__(f'Job {job_id} cannot be read: {"; ".join(map(str, faults))}')


def show_bytes(value: bytes) -> str:
    """Return a value in a readable form, truncated if it is long."""
    text = repr(bytes(value[:_SHOWN]))[1:]
    return f'{text}... ({len(value)} bytes)' if len(value) > _SHOWN else text


def restore_job(make: Callable[[], Job], raw: Mapping[bytes, bytes]) -> Job:
    """Return a job as RQ restores it from its hash.

    Args:
        make: returns a new job with the right id.
        raw: the fields, as the store returned them.

    Raises:
        NoSuchJobError: there is no `data`, which to RQ means no such job.
        UnreadableJob: a field cannot be read, or holds a value that RQ cannot use.
    """
    job = make()
    try:
        job.restore(raw)
    except NoSuchJobError:
        raise
    except MemoryError as error:
        # A process with more memory can read it, so no field is blamed, or it would be removed.
        raise UnreadableJob(job.id, [Fault('', b'', _words(error))]) from error
    except Exception as error:
        raise UnreadableJob(job.id, find_faults(make, raw) or [Fault('', b'', _words(error))]) from error
    faults = _misshapen(job, raw)
    if faults:
        raise UnreadableJob(job.id, faults)
    return job


def find_faults(make: Callable[[], Job], raw: Mapping[bytes, bytes]) -> list[Fault]:
    """Return which fields of a job cannot be read, each tried alone.

    Args:
        make: returns a new job.
        raw: the fields, as the store returned them.
    """
    faults = []
    for field, value in raw.items():
        job = make()
        # RQ accepts any `data`, and it may be large.
        alone = {b'data': b'', field: value}
        try:
            job.restore(alone)
        except Exception as error:
            faults.append(Fault(field.decode('utf-8', 'backslashreplace'), value, _words(error)))
        else:
            faults.extend(_misshapen(job, alone))
    return faults


def _misshapen(job: Job, raw: Mapping[bytes, bytes]) -> list[Fault]:
    """Return what `restore` accepts but RQ's methods cannot handle when they retry, repeat or expire the job."""
    found = []
    for name in ('retry_intervals', 'repeat_intervals'):
        if not _is_list(getattr(job, name, None), (int, float)):
            found.append((name, 'not a list of seconds'))
    if not _is_list(job._dependency_ids, (str,)):
        found.append(('dependency_ids', 'not a list of job ids'))
    for names, limit in ((_TTLS, _LONGEST_TTL), (_NUMBERS, _LARGEST_NUMBER)):
        for name in names:
            value = getattr(job, name, None)
            if isinstance(value, int) and abs(value) > limit:
                found.append((name, 'too large a number'))
    return [Fault(name, raw[name.encode()], error) for name, error in found if name.encode() in raw]


def _is_list(value: Any, kinds: tuple[type, ...]) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(entry, kinds) for entry in value))


def _words(error: Exception) -> str:
    return f'{type(error).__name__}: {error}' if str(error) else type(error).__name__


def is_wrong_type(error: BaseException) -> bool:
    """Return whether the store refused a command because the key holds another type of value."""
    # redis-py puts the pipeline's command before it.
    return isinstance(error, ResponseError) and str(error).rpartition(' caused error: ')[2].startswith('WRONGTYPE')


@dataclass(frozen=True)
class Aside:
    """Something that was set aside because it could be neither read nor failed.

    Args:
        key: where it is in the store.
        reason: what is wrong with it.
        at: when it was first found, as RQ writes times.
    """

    key: str
    reason: str
    at: str


def list_aside(connection: Redis, key: str, reason: str) -> bool:
    """Record that something was set aside.

    Args:
        connection: the store.
        key: where it is in the store.
        reason: what is wrong with it.

    Returns:
        Whether it was not recorded before.
    """
    if connection.hlen(UNREADABLE_KEY) >= _MOST_LISTED:
        return False
    return bool(connection.hsetnx(UNREADABLE_KEY, key, json.dumps({'reason': reason, 'at': utcformat(now())})))


def read_aside(connection: Redis) -> list[Aside]:
    """Return what was set aside and still exists; forget the rest."""
    try:
        listed: dict[bytes, bytes] = connection.hgetall(UNREADABLE_KEY)  # type: ignore[assignment]
    except ResponseError:
        return [Aside(UNREADABLE_KEY, 'holds another type of value than a hash', '')]
    found = []
    for key, text in sorted(listed.items()):
        if not connection.exists(key):
            # A replica, or a user who may only read, leaves that to others.
            with contextlib.suppress(ResponseError):
                connection.hdel(UNREADABLE_KEY, key)
            continue
        try:
            entry = json.loads(text)
            reason, at = str(entry['reason']), str(entry['at'])
        except (ValueError, TypeError, KeyError):
            reason, at = text.decode('utf-8', 'replace'), ''
        found.append(Aside(key.decode('utf-8', 'backslashreplace'), reason, at))
    return found
