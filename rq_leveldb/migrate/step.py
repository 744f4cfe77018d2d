"""One step of a live migration: some jobs leave the source and come into the target, and no worker can have them twice.

1. `Step.take`: one script takes the jobs out of their queues and registries in the source, notes them under
   `record.MOVING`, and renames their keys, so that nobody finds them there. It refuses those that a worker has.
2. `Step.put`: one transaction writes them into the target, puts them into its queues and registries, and notes the
   step's id under `record.STEPS`. What it wrote is read back in it.
3. `Step.drop`: one script removes them, and what was noted, from the source.

What was killed in between is found under `record.MOVING` and goes on with 2, which does nothing where the step's id is
noted already. Where the target has a job of the same id, `Step.give_back` undoes 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from rq_leveldb.errors import mask_password
from rq_leveldb.migrate.arriving import KINDS, Arrival, Taken, keys_of
from rq_leveldb.migrate.record import ASIDE, MOVING, STEPS
from rq_leveldb.migrate.scope import RQ
from rq_leveldb.migrate.value import Slice, read_slices, read_whole, slices_of
from rq_leveldb.migrate.wire import RefusedPlace, Wire

__all__ = ['Seen', 'Step']

_TRIES = 100
# Seconds: RQ's scheduler reads what is due and enqueues it later, without looking whether it is still there. What is
# due about now is left to it; the clock of its machine may be ahead.
_MARGIN = 10
# Jobs whose keys are read at once.
_MOST_READ = 64

# As `keys_of` in `arriving`.
_KEYS = """
local function keys_of(id)
    return {rq .. 'job:' .. id, rq .. 'job:' .. id .. ':dependents', rq .. 'job::' .. id .. ':dependencies',
            rq .. 'results:' .. id, rq .. 'output:' .. id}
end
"""

# KEYS: what is on its way
# ARGV: id of the step, the target, prefix of RQ's keys, prefix of keys on their way, seconds of margin; for each group:
#       how many jobs; for each of these: id, list that it was seen in, how often
# Returns for each group '' if it was taken, else why not; nil if another step is under way.
_TAKE = (
    """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local rq, aside = ARGV[3], ARGV[4]
local now = redis.call('TIME')[1]
local registries = {'finished', 'failed', 'canceled', 'deferred', 'scheduled', 'ready'}
"""
    + _KEYS
    + """
local function given(text) return text and text ~= '' end

local function obstacle(job, members)
    local keys = keys_of(job.id)
    local found = redis.call('HMGET', keys[1], 'status', 'origin', 'rate_limit_key')
    local status, queue = found[1], found[2] or ''
    if redis.call('HEXISTS', keys[1], 'data') == 0 then return 'gone' end
    if redis.call('ZCOUNT', rq .. 'executions:' .. job.id, '(' .. now, '+inf') > 0 then return 'running' end
    if status == 'started' then
        return 'running'
    elseif status == 'queued' then
        if not redis.call('LPOS', job.list, job.id) then return 'running' end
    elseif status == 'ready_to_enqueue' then
        if not redis.call('ZSCORE', rq .. 'ready:' .. queue, job.id) then return 'running' end
    elseif status == 'rate_limited' then
        if not redis.call('ZSCORE', rq .. 'rl:' .. (found[3] or '') .. ':rate_limited', job.id) then
            return 'running'
        end
    elseif status == 'scheduled' then
        local score = redis.call('ZSCORE', rq .. 'scheduled:' .. queue, job.id)
        if not score then return 'running' end
        if tonumber(score) <= tonumber(now) + tonumber(ARGV[5])
           and redis.call('EXISTS', rq .. 'scheduler-lock:' .. queue) == 1 then
            return 'due'
        end
    elseif status == 'deferred' then
        for _, other in ipairs(redis.call('SMEMBERS', keys[3])) do
            if not members[other] and redis.call('HEXISTS', rq .. 'job:' .. other, 'data') == 1 then
                return 'changed'
            end
        end
    end
    for _, other in ipairs(redis.call('SMEMBERS', keys[2])) do
        if not members[other] and redis.call('HGET', rq .. 'job:' .. other, 'status') == 'deferred' then
            return 'changed'
        end
    end
    return ''
end

local function take(job, members)
    local keys = keys_of(job.id)
    local found = redis.call('HMGET', keys[1], 'status', 'origin', 'rate_limit_key', 'group_id')
    local places = {}
    local function leave(name, registry)
        local score = redis.pcall('ZSCORE', registry, job.id)
        if type(score) == 'string' then
            redis.call('ZREM', registry, job.id)
            places[#places + 1] = name .. '=' .. score
        end
    end
    for _, name in ipairs(registries) do leave(name, rq .. name .. ':' .. (found[2] or '')) end
    if given(found[3]) then
        leave('rate_limited', rq .. 'rl:' .. found[3] .. ':rate_limited')
        leave('allowed', rq .. 'rl:' .. found[3] .. ':allowed')
    end
    local times = job.times
    -- It may have come into its queue since it was seen elsewhere.
    if times < 1 and found[1] == 'queued' then times = 1 end
    local pushed = 0
    if times > 0 then pushed = redis.pcall('LREM', job.list, times, job.id) end
    if type(pushed) ~= 'number' then pushed = 0 end
    if given(found[4]) then redis.pcall('SREM', rq .. 'group:' .. found[4], job.id) end
    if found[1] == 'deferred' then
        for _, other in ipairs(redis.call('SMEMBERS', keys[3])) do
            if not members[other] then redis.pcall('SREM', rq .. 'job:' .. other .. ':dependents', job.id) end
        end
    end
    for _, key in ipairs(keys) do
        if redis.call('EXISTS', key) == 1 then redis.call('RENAME', key, aside .. key) end
    end
    redis.call('DEL', rq .. 'executions:' .. job.id)
    redis.call('RPUSH', KEYS[1], job.id, job.list, pushed, table.concat(places, ' '))
end

local outcomes, at, begun = {}, 6, false
while at <= #ARGV do
    local group, members, why = {}, {}, ''
    local count = tonumber(ARGV[at])
    at = at + 1
    for index = 1, count do
        group[index] = {id = ARGV[at], list = ARGV[at + 1], times = tonumber(ARGV[at + 2])}
        members[ARGV[at]] = true
        at = at + 3
    end
    for _, job in ipairs(group) do
        if why == '' then
            -- An error would leave what was done before it.
            local read, said = pcall(obstacle, job, members)
            why = read and said or 'unreadable'
        end
    end
    if why == '' then
        -- First, since it is refused where there is no memory; then nothing is done.
        if not begun then redis.call('RPUSH', KEYS[1], ARGV[1], ARGV[2]) end
        begun = true
        for _, job in ipairs(group) do take(job, members) end
    end
    outcomes[#outcomes + 1] = why
end
return outcomes
"""
)

# KEYS: what is on its way
# ARGV: id of the step, prefix of RQ's keys, prefix of keys on their way
_MOVING = (
    """
local moving = redis.call('LRANGE', KEYS[1], 0, -1)
if moving[1] ~= ARGV[1] then return 0 end
local rq, aside = ARGV[2], ARGV[3]
"""
    + _KEYS
)

_DROP = (
    _MOVING
    + """
for at = 3, #moving, 4 do
    for _, key in ipairs(keys_of(moving[at])) do redis.call('UNLINK', aside .. key) end
end
redis.call('UNLINK', KEYS[1])
return 1
"""
)

# Backwards, since what was first in its queue comes to the front last. Where somebody has enqueued a job of this id
# meanwhile, it is that one which is in the queue once more, as with RQ.
_GIVE_BACK = (
    _MOVING
    + """
-- It is refused where there is no memory, as what follows is; then nothing is done.
redis.call('LSET', KEYS[1], 1, moving[2])
for at = #moving - 3, 3, -4 do
    local id, list, pushed, places = moving[at], moving[at + 1], tonumber(moving[at + 2]), moving[at + 3]
    local keys = keys_of(id)
    if redis.call('EXISTS', keys[1]) == 0 then
        for _, key in ipairs(keys) do
            if redis.call('EXISTS', aside .. key) == 1 then redis.call('RENAMENX', aside .. key, key) end
        end
    end
    local found = redis.call('HMGET', keys[1], 'status', 'origin', 'rate_limit_key', 'group_id')
    for name, score in string.gmatch(places, '(%S+)=(%S+)') do
        local registry = rq .. name .. ':' .. (found[2] or '')
        if name == 'rate_limited' or name == 'allowed' then
            registry = rq .. 'rl:' .. (found[3] or '') .. ':' .. name
        end
        redis.call('ZADD', registry, score, id)
    end
    for _ = 1, pushed do redis.call('LPUSH', list, id) end
    if found[4] and found[4] ~= '' then redis.call('SADD', rq .. 'group:' .. found[4], id) end
    if found[1] == 'deferred' then
        for _, other in ipairs(redis.call('SMEMBERS', keys[3])) do
            redis.call('SADD', rq .. 'job:' .. other .. ':dependents', id)
        end
    end
    for _, key in ipairs(keys) do redis.call('UNLINK', aside .. key) end
end
redis.call('UNLINK', KEYS[1])
return 1
"""
)


class Seen(NamedTuple):
    """A job as it was seen in the source.

    Args:
        id: its id.
        queue: key of the queue that it is in, or would be in.
        times: how often it is there.
    """

    id: bytes
    queue: bytes
    times: int


class Step:
    """Takes jobs from one place to another, some at a time.

    Args:
        source: from where.
        target: to where.
    """

    def __init__(self, source: Wire, target: Wire) -> None:
        self._source = source
        self._target = target
        self._id = b''

    def is_under_way(self) -> bool:
        """Say whether jobs are on their way."""
        return bool(self._source.call(b'EXISTS', MOVING))

    def take(self, groups: Sequence[Sequence[Seen]]) -> list[str]:
        """Take groups of jobs from the source, each as a whole or not at all.

        Args:
            groups: which.

        Returns:
            For each group, '' if it was taken. Else `gone`; `running`: a worker has one of them; `due`: the source's
            scheduler may be about to enqueue one; `changed`: there is a job that one waits for, or that waits for one,
            and that is not in the group; `unreadable`: one of its keys is of another type.
        """
        words: list[Any] = []
        for group in groups:
            words.append(len(group))
            for job in group:
                words += job
        outcomes = self._source.call(
            b'EVAL', _TAKE, 1, MOVING, uuid4().bytes, mask_password(self._target.url), RQ, ASIDE, _MARGIN, *words
        )
        if outcomes is None:
            raise RefusedPlace(
                self._source.url,
                title='Another live migration has jobs on their way',
                advice='Wait for its end, or end it; then run the same command again.',
            )
        return [outcome.decode() for outcome in outcomes]

    def put(self) -> list[bytes]:
        """Write the jobs that are on their way into the target, unless this was done before.

        Returns:
            Ids of those of which the target has another job already; if there are any, nothing was written.
        """
        found = self._source.call(b'LRANGE', MOVING, 0, -1)
        if not found:
            return []
        self._id, _, *words = found
        jobs = [job for job in self._read(words) if job.fields]
        target = self._target
        outside = _outside(jobs)
        names = [keys_of(job.id)[0] for job in jobs]
        for _ in range(_TRIES):
            others = [RQ + b'job:' + other for other in outside]
            target.call(b'WATCH', STEPS, *names, *others)
            is_done, *there = target.do([(b'SISMEMBER', STEPS, self._id), *((b'EXISTS', name) for name in names)])
            if is_done or any(there):
                target.call(b'UNWATCH')
                return [] if is_done else [job.id for job, is_there in zip(jobs, there, strict=True) if is_there]
            statuses = target.do([(b'HGET', other, b'status') for other in others]) if others else []
            arrival = Arrival(dict(zip(outside, statuses, strict=True)))
            arrival.add(jobs)
            *_, replies = target.do([(b'MULTI',), *arrival.commands, (b'SADD', STEPS, self._id), (b'EXEC',)])
            if replies is not None:
                for reply in replies:
                    target.checked(reply, 'a write')
                arrival.verify(target, replies)
                return []
        raise RefusedPlace(
            target.url,
            title='Jobs of the same ids are written to in the target all the time',
            advice='Run the same command again: nothing was lost.',
        )

    def drop(self) -> None:
        """Remove the jobs that are on their way from the source: the target has them."""
        self._end(_DROP)

    def give_back(self) -> None:
        """Put the jobs that are on their way where they were in the source, the queued ones to the front."""
        self._end(_GIVE_BACK)

    def _end(self, script: str) -> None:
        # Of no other step than the one that was put: whoever stood still may find the next one under way.
        self._source.call(b'EVAL', script, 1, MOVING, self._id, RQ, ASIDE)

    def _read(self, words: list[bytes]) -> Iterator[Taken]:
        source = self._source
        heads = [words[at : at + 4] for at in range(0, len(words), 4)]
        for start in range(0, len(heads), _MOST_READ):
            some = heads[start : start + _MOST_READ]
            keys = [(ASIDE + name, kind) for head in some for name, kind in zip(keys_of(head[0]), KINDS, strict=True)]
            replies = iter(
                source.ask([word for name, kind in keys for word in ((b'PEXPIRETIME', name), read_whole(name, kind))])
            )
            values: list[tuple[int, list[Slice]]] = []
            for name, kind in keys:
                expires = source.checked(next(replies), 'PEXPIRETIME')
                reply = next(replies)
                if kind != b'stream':
                    source.checked(reply, f'reading {name.decode("utf-8", "backslashreplace")}')
                values.append((expires, slices_of(kind, reply) or []))
                if kind == b'stream' and slices_of(kind, reply) is None:
                    values[-1] = expires, list(read_slices(source, name, kind))
            for at, (job_id, queue, times, places) in enumerate(some):
                scores = dict(word.split(b'=', 1) for word in places.split())
                yield Taken(job_id, queue, int(times), scores, values[at * len(KINDS) : (at + 1) * len(KINDS)])


def _outside(jobs: Sequence[Taken]) -> list[bytes]:
    """Return the ids of dependencies that are not among the jobs."""
    members = {job.id for job in jobs}
    return sorted({other for job in jobs for other in job.dependent.dependencies} - members)
