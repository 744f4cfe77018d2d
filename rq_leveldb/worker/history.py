"""The history: how many jobs ended in each minute and hour, how long they waited and ran, by queue and function.

Whatever writes the end of a job puts an entry on a list in the same transaction, so that nothing is counted twice or
forgotten. Every few seconds a worker adds the entries up, those of other workers as well:

    rq-leveldb:ended                   WHEN OUTCOME WAITED RAN ["QUEUE"], and on a second line ["QUEUE", "FUNCTION"]
    rq-leveldb:history:names:DAY       ID -> ["QUEUE", "FUNCTION"], or ["QUEUE"] for its functions beyond the bound
    rq-leveldb:history:hours:DAY       HOUR|ID -> FINISHED,FAILED,RETRIED,WAITED,RAN
    rq-leveldb:history:minutes:HOUR    MINUTE|ID -> the same

Days and hours in keys count from the epoch; in fields, hours count from midnight (UTC) and minutes from the full hour.
Times are in ms, but for `WHEN`, in seconds; names are JSON. An entry has both names as they are stored, since reading
JSON took a script longer than all the rest. An id is made from the name; `-` stands for what is beyond the bound
of queues as well. A day has at most a hundred names, so the size of all this is bounded, whatever runs.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from enum import IntEnum
from typing import Any

from rq.executions import Execution
from rq.job import UNEVALUATED, Job
from rq.serializers import DefaultSerializer, JSONSerializer

from rq_leveldb.reading import Reader, read_call
from rq_leveldb.records import (
    ENDED_KEY,
    HISTORY_HOURS_TTL,
    HISTORY_KEY_TEMPLATE,
    HISTORY_LONGEST_NAME,
    HISTORY_MINUTES_KEPT,
    HISTORY_MINUTES_TTL,
)

from .script import Script
from .site import Site

__all__ = ['NOTE', 'History', 'Outcome', 'entry', 'entry_text', 'function_of']

_AT_ONCE = 500
# A worker that finds more waits for its next turn.
_MOST_ROUNDS = 20
_MOST_NAMES = 100
# That many of them have a function; what more there is of a queue is counted under the queue alone.
_MOST_FUNCTIONS = 80

NOTE = "redis.pcall('RPUSH', KEYS[1], ARGV[1]) return 1"
"""Puts an entry on the list; a key that holds another type of value must not keep an end from being written."""

# KEYS: the list
# ARGV: most entries, most names with a function, most names, longest name, prefix of the keys, time to live of minutes,
#       time to live of hours, the oldest hour whose minutes are kept
# Returns how many entries were taken.
_FOLD = """
local entries = redis.pcall('LRANGE', KEYS[1], 0, ARGV[1] - 1)
if entries.err or #entries == 0 then return 0 end
local function add(key, ttl, field, numbers)
    local at = 0
    for number in string.gmatch(redis.call('HGET', key, field) or '', '%d+') do
        at = at + 1
        numbers[at] = (numbers[at] or 0) + tonumber(number)
    end
    redis.call('HSET', key, field, string.format('%.0f,%.0f,%.0f,%.0f,%.0f', unpack(numbers, 1, 5)))
    redis.call('EXPIRE', key, ttl)
end
local function id_of(key, name, most)
    if #name > tonumber(ARGV[4]) then return nil end
    local id = string.sub(redis.sha1hex(name), 1, 8)
    if redis.call('HEXISTS', key, id) == 0 then
        if redis.call('HLEN', key) >= tonumber(most) then return nil end
        redis.call('HSET', key, id, name)
    end
    redis.call('EXPIRE', key, ARGV[7])
    return id
end
local sums = {}
local function sum(text)
    local at, given = 1, {}
    for index = 1, 4 do
        local blank = string.find(text, ' ', at, true)
        given[index] = tonumber(string.sub(text, at, blank - 1))
        at = blank + 1
    end
    local minute, names = math.floor(given[1] / 60), string.sub(text, at)
    local group = minute .. ' ' .. names
    local found = sums[group]
    if not found then
        local line = string.find(names, '\\n', 1, true)
        found = {minute, string.sub(names, 1, line - 1), string.sub(names, line + 1), {0, 0, 0, 0, 0}}
        sums[group] = found
    end
    local numbers = found[4]
    numbers[given[2]] = numbers[given[2]] + 1
    numbers[4] = numbers[4] + given[3]
    numbers[5] = numbers[5] + given[4]
end
local function write(minute, queue, name, numbers)
    local hour = math.floor(minute / 60)
    local day = math.floor(hour / 24)
    local names = ARGV[5] .. 'names:' .. day
    local id = name ~= '' and id_of(names, name, ARGV[2]) or id_of(names, queue, ARGV[3]) or '-'
    local hours, minutes = ARGV[5] .. 'hours:' .. day, ARGV[5] .. 'minutes:' .. hour
    add(hours, ARGV[7], hour % 24 .. '|' .. id, {unpack(numbers)})
    if hour < tonumber(ARGV[8]) then return end
    add(minutes, ARGV[6], minute % 60 .. '|' .. id, {unpack(numbers)})
end
-- What somebody else has put here is passed over: an entry that cannot be read, a key of another type.
for _, text in ipairs(entries) do pcall(sum, text) end
for _, found in pairs(sums) do pcall(write, unpack(found)) end
redis.call('LTRIM', KEYS[1], #entries, -1)
return #entries
"""


class Outcome(IntEnum):
    """How a run of a job ended; the position of its number."""

    FINISHED = 1
    FAILED = 2
    RETRIED = 3


def entry(job: Job, execution: Execution, enqueued_at: datetime | None, outcome: Outcome, function: str) -> str:
    """Return what is put on the list about a run that has ended.

    Args:
        job: the job, with the time when it ended.
        execution: the run.
        enqueued_at: when the job was enqueued for it.
        outcome: how it ended.
        function: the function.
    """
    began = execution.created_at
    ended = job.ended_at or began
    started = max(began, job.started_at or began)
    times = (_milliseconds(enqueued_at, began), _milliseconds(started, ended))
    return entry_text(ended.timestamp(), job.origin or '', function, outcome, *times)


def entry_text(when: float, queue: str, function: str, outcome: int, waited: int, ran: int) -> str:
    """Return an entry.

    Args:
        when: the run ended, seconds since the epoch.
        queue: the queue.
        function: the function; '' if it is not known.
        outcome: how it ended.
        waited: for how long it had waited, ms.
        ran: for how long it ran, ms.
    """
    # A lone surrogate, which a pickle may hold, is no UTF-8.
    queue, function = (name.encode('utf-8', 'replace').decode() for name in (queue, function))
    named = json.dumps([queue, function], ensure_ascii=False) if function else ''
    return f'{int(when)} {int(outcome)} {waited} {ran} {json.dumps([queue], ensure_ascii=False)}\n{named}'


def _milliseconds(start: datetime | None, end: datetime) -> int:
    # A clock may have been set back.
    return 0 if start is None else max(0, round((end - start).total_seconds() * 1000))


def function_of(job: Any, serializer: Any) -> str:
    """Return the name of a job's function as lists of jobs show it, '' if it cannot be read; runs nobody's code.

    Args:
        job: the job, sealed or not.
        serializer: the worker's.
    """
    name, instance = job._func_name, job._instance
    if isinstance(name, str):
        if instance is None or instance is UNEVALUATED:
            return name
        owner = instance if isinstance(instance, type) else type(instance)
        return f'{owner.__module__}.{owner.__qualname__}.{name}'
    # No other is called here: it might run what it reads.
    kind = 'pickle' if serializer is DefaultSerializer else 'json' if serializer is JSONSerializer else None
    return (kind and read_call(Reader(kind), job.data)[0]) or ''


class History:
    """Adds up what has ended, for all workers of a place.

    Args:
        site: whose connection counts.
    """

    def __init__(self, site: Site) -> None:
        self._fold = Script(site.connection, _FOLD)
        self._arguments = (
            *(_AT_ONCE, _MOST_FUNCTIONS, _MOST_NAMES, HISTORY_LONGEST_NAME),
            *(HISTORY_KEY_TEMPLATE.format('', '').removesuffix(':'), HISTORY_MINUTES_TTL, HISTORY_HOURS_TTL),
        )

    def fold(self) -> None:
        """Add up what there is.

        Raises:
            RedisError: the store is away or takes no writes.
        """
        oldest = int(time.time() - HISTORY_MINUTES_KEPT) // 3600
        for _ in range(_MOST_ROUNDS):
            if self._fold.run([ENDED_KEY], [*self._arguments, oldest]) < _AT_ONCE:
                return
