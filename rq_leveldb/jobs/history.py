"""How many jobs ended and waited when, how long they waited and ran: what the workers have counted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from redis import Redis

from rq_leveldb.lookup import replies
from rq_leveldb.records import HISTORY_HOURS_KEPT, HISTORY_KEY_TEMPLATE, HISTORY_MINUTES_KEPT

__all__ = ['History', 'Numbers', 'read_history']

_HOUR = 3600
_DAY = 86400
# So that the answer stays short where other names came each day.
_MOST_NAMES = 100


@dataclass
class Numbers:
    """Runs of jobs that ended.

    Args:
        finished: how many.
        failed: how many, stopped ones included.
        retried: how many ended with the job put back, to run again.
        waited: for how long they had waited, all together, ms.
        ran: for how long they ran, all together, ms.
    """

    finished: int = 0
    failed: int = 0
    retried: int = 0
    waited: int = 0
    ran: int = 0

    def add(self, other: Numbers) -> None:
        """Add those of others."""
        self.finished += other.finished
        self.failed += other.failed
        self.retried += other.retried
        self.waited += other.waited
        self.ran += other.ran

    @property
    def runs(self) -> int:
        """How many ended in any way."""
        return self.finished + self.failed + self.retried


@dataclass
class History:
    """What ended in a time.

    Args:
        begin: when it begins, seconds since the epoch.
        steps: by the second since the epoch at which a step begins; those in which nothing ended are left out.
        waiting: how many jobs waited at most, by the same; those in which none did are left out.
        queues: by name; None stands for those beyond what is counted.
        functions: the same.
    """

    begin: int
    steps: dict[int, Numbers] = field(default_factory=lambda: defaultdict(Numbers))
    waiting: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    queues: dict[str | None, Numbers] = field(default_factory=lambda: defaultdict(Numbers))
    functions: dict[str | None, Numbers] = field(default_factory=lambda: defaultdict(Numbers))


def read_history(
    connection: Redis, step: int, since: float | None, now: float, queue: str | None = None, function: str | None = None
) -> History:
    """Return what ended from a time until now.

    Args:
        connection: the store.
        step: length of a step, seconds: part of an hour, which there is for a day, or whole hours, for thirty days.
        since: from when on, seconds since the epoch; None for all that is kept.
        now: until when.
        queue: only jobs of this queue.
        function: only jobs of this function; how many waited is not known of them.
    """
    by_hour = step % _HOUR == 0
    oldest = now - (HISTORY_HOURS_KEPT if by_hour else HISTORY_MINUTES_KEPT)
    history = History(int(max(oldest, since or 0) // step * step))
    # Workers on other machines may be ahead of this one's clock.
    end = int(now) + _HOUR
    days = range(history.begin // _DAY, end // _DAY + 1)
    hours = range(history.begin // _HOUR, end // _HOUR + 1)
    unit, size, hashes = (_HOUR, _DAY, days) if by_hour else (60, _HOUR, hours)
    pipe = connection.pipeline(transaction=False)
    for day in days:
        pipe.hgetall(HISTORY_KEY_TEMPLATE.format('names', day))
    kind = 'hours' if by_hour else 'minutes'
    for each in (kind, f'waiting-{kind}'):
        for number in hashes:
            pipe.hgetall(HISTORY_KEY_TEMPLATE.format(each, number))
    found = replies(pipe)
    counted, waiting = found[len(days) : -len(hashes)], found[-len(hashes) :]
    names = {day: dict(_names(raw)) for day, raw in zip(days, found, strict=False)}
    for number, raw in zip(hashes, counted, strict=True):
        begin = number * size
        known = names.get(begin // _DAY, {})
        for at, name_id, sums in _numbered(raw, 5):
            name = known.get(name_id, (None, None))
            moment = begin + at * unit
            if moment < history.begin or (queue, function) != (queue and name[0], function and name[1]):
                continue
            numbers = Numbers(*sums)
            history.steps[moment // step * step].add(numbers)
            history.queues[name[0]].add(numbers)
            history.functions[name[1]].add(numbers)
    most: dict[tuple[int, str], int] = defaultdict(int)
    for number, raw in zip(hashes, waiting, strict=True):
        for at, raw_name, (jobs,) in _numbered(raw, 1):
            moment = number * size + at * unit
            waiting_in = raw_name.decode('utf-8', 'replace')
            if function is None and moment >= history.begin and queue in (None, waiting_in):
                place = (moment // step * step, waiting_in)
                most[place] = max(jobs, most[place])
    for (moment, _), jobs in most.items():
        history.waiting[moment] += jobs
    history.queues = _largest(history.queues)
    history.functions = _largest(history.functions)
    return history


def _names(raw: object) -> Iterator[tuple[bytes, tuple[str, str | None]]]:
    for name_id, text in _fields(raw):
        try:
            queue, *function = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(queue, str) and all(isinstance(part, str) for part in function):
            yield name_id, (queue, function[0] if function else None)


def _numbered(raw: object, count: int) -> Iterator[tuple[int, bytes, list[int]]]:
    """Read a hash of the history: when within its time, of what, and so many numbers."""
    for name, text in _fields(raw):
        at, _, of = name.partition(b'|')
        numbers = text.split(b',')
        # What does not look like this was not written by a worker.
        if at.isdigit() and len(at) < 3 and len(numbers) == count and all(n.isdigit() and len(n) < 17 for n in numbers):
            yield int(at), of, list(map(int, numbers))


def _fields(raw: object) -> Iterable[tuple[bytes, bytes]]:
    return raw.items() if isinstance(raw, dict) else ()


def _largest(found: dict[str | None, Numbers]) -> dict[str | None, Numbers]:
    """Return the names with the most runs, the most first and None last, which takes in the others."""
    ordered = sorted((item for item in found.items() if item[0] is not None), key=lambda item: -item[1].runs)
    rest = found.get(None, Numbers())
    for _, numbers in ordered[_MOST_NAMES:]:
        rest.add(numbers)
    return {**dict(ordered[:_MOST_NAMES]), **({None: rest} if rest.runs else {})}
