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

from rq.job import JobStatus
from rq.queue import Queue
from rq.rate_limit import ACQUIRE_AND_ENQUEUE_SCRIPT
from rq.utils import current_timestamp, now, utcformat, utcparse

from rq_leveldb.errors import mask_password
from rq_leveldb.migrate.dependencies import Dependent, ids_in
from rq_leveldb.migrate.record import ASIDE, MOVING, STEPS
from rq_leveldb.migrate.scope import RQ
from rq_leveldb.migrate.value import NO_EXPIRY, Slice, digest_of, read_slices, read_whole, slices_of, write_commands
from rq_leveldb.migrate.wire import Command, RefusedPlace, Wire

__all__ = ['Seen', 'Step', 'keys_of']

_TRIES = 100
# Seconds: RQ's scheduler reads what is due and enqueues it later, without looking whether it is still there. What is
# due about now is left to it; the clock of its machine may be ahead.
_MARGIN = 10
# Jobs whose keys are read at once.
_MOST_READ = 64

# A job's keys and their types. RQ writes the name of the third with two colons.
_KINDS = (b'hash', b'set', b'set', b'stream', b'string')
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
_DROP = (
    """
local moving = redis.call('LRANGE', KEYS[1], 0, -1)
if moving[1] ~= ARGV[1] then return 0 end
local rq, aside = ARGV[2], ARGV[3]
"""
    + _KEYS
    + """
for at = 3, #moving, 4 do
    for _, key in ipairs(keys_of(moving[at])) do redis.call('UNLINK', aside .. key) end
end
redis.call('UNLINK', KEYS[1])
return 1
"""
)

# As above. Backwards, since what was first in its queue comes to the front last. Where somebody has enqueued a job of
# this id meanwhile, it is that one which is in the queue once more, as with RQ.
_GIVE_BACK = (
    """
local moving = redis.call('LRANGE', KEYS[1], 0, -1)
if moving[1] ~= ARGV[1] then return 0 end
local rq, aside = ARGV[2], ARGV[3]
"""
    + _KEYS
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


class _Taken(NamedTuple):
    """A job that is on its way.

    Args:
        id: its id.
        queue: key of the queue that it was in.
        times: how often it was there.
        places: its scores in the registries that it was in.
        values: what its keys held, in the order of `keys_of`: when each expires and its slices.
    """

    id: bytes
    queue: bytes
    times: int
    places: dict[bytes, bytes]
    values: list[tuple[int, list[Slice]]]

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The fields of its hash; none if it has expired."""
        return {
            name: value
            for part in self.values[0][1]
            for name, value in zip(part.items[::2], part.items[1::2], strict=True)
        }


def keys_of(job_id: bytes) -> list[bytes]:
    """Return the names of all keys that a job has where it is not running."""
    job = RQ + b'job:' + job_id
    dependencies = RQ + b'job::' + job_id + b':dependencies'
    return [job, job + b':dependents', dependencies, RQ + b'results:' + job_id, RQ + b'output:' + job_id]


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
            writing = _Writing(dict(zip(outside, statuses, strict=True)))
            writing.add(jobs)
            *_, replies = target.do([(b'MULTI',), *writing.commands, (b'SADD', STEPS, self._id), (b'EXEC',)])
            if replies is not None:
                for reply in replies:
                    target.checked(reply, 'a write')
                writing.verify(target, replies)
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

    def _read(self, words: list[bytes]) -> Iterator[_Taken]:
        source = self._source
        heads = [words[at : at + 4] for at in range(0, len(words), 4)]
        for start in range(0, len(heads), _MOST_READ):
            some = heads[start : start + _MOST_READ]
            keys = [(ASIDE + name, kind) for head in some for name, kind in zip(keys_of(head[0]), _KINDS, strict=True)]
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
                yield _Taken(job_id, queue, int(times), scores, values[at * len(_KINDS) : (at + 1) * len(_KINDS)])


def _outside(jobs: Sequence[_Taken]) -> list[bytes]:
    """Return the ids of dependencies that are not among the jobs."""
    members = {job.id for job in jobs}
    return sorted({other for job in jobs for other in _dependent(job).dependencies} - members)


def _dependent(job: _Taken) -> Dependent:
    return Dependent(job.fields, ids_in(job.values[2][1]))


class _Writing:
    """The commands that write jobs into the target.

    Args:
        outside: statuses, in the target, of dependencies that do not come along; None of one that is not there.
    """

    def __init__(self, outside: dict[bytes, bytes | None]) -> None:
        self.commands: list[Command] = []
        self._outside = outside
        self._statuses = dict(outside)
        self._reads: list[tuple[int, bytes, bytes, int, bytes]] = []
        self._limits: dict[bytes, bytes] = {}

    def add(self, jobs: Sequence[_Taken]) -> None:
        """Add jobs, in the order in which they come into their queues."""
        for job in jobs:
            self._statuses[job.id] = job.fields.get(b'status')
        for job in jobs:
            # What is left there of a job that had this id and is gone.
            self.commands.append((b'UNLINK', *keys_of(job.id)[2:]))
            for name, kind, (expires, parts) in zip(keys_of(job.id), _KINDS, job.values, strict=True):
                self._write(name, kind, expires, parts)
        for job in jobs:
            self._place(job)
        for key, most in self._limits.items():
            self.commands.append(_acquire(key, most))

    def verify(self, target: Wire, replies: list[Any]) -> None:
        """Compare what was written with what was read.

        Args:
            target: where it was written.
            replies: to the commands.

        Raises:
            RefusedPlace: it is not the same.
        """
        for at, name, kind, expires, digest in self._reads:
            if replies[at] == -2 and expires != NO_EXPIRY:
                # Its time had come.
                continue
            parts = slices_of(kind, replies[at + 1])
            if replies[at] != expires or (parts is not None and digest_of(kind, expires, parts) != digest):
                raise RefusedPlace(
                    target.url,
                    title=f'{name.decode("utf-8", "backslashreplace")} is not what was written there',
                    advice='The source still has it, under rq-leveldb:migration:moving. Please report this.',
                )

    def _write(self, name: bytes, kind: bytes, expires: int, parts: list[Slice]) -> None:
        if not parts or expires == -2:
            return
        for part in parts:
            self.commands += write_commands(name, part)
        if expires != NO_EXPIRY:
            self.commands.append((b'PEXPIREAT', name, expires))
        if kind == b'set':
            # Others may wait there for the same job already.
            return
        self._reads.append((len(self.commands), name, kind, expires, digest_of(kind, expires, parts)))
        self.commands += [(b'PEXPIRETIME', name), read_whole(name, kind)]

    def _place(self, job: _Taken) -> None:
        """Put a job where it was."""
        fields = job.fields
        status = fields.get(b'status')
        queue = fields.get(b'origin', b'')
        add = self.commands.append
        add((b'SADD', Queue.redis_queues_keys, _QUEUE + queue))
        if group := fields.get(b'group_id'):
            add((b'SADD', RQ + b'group:' + group, job.id))
            add((b'SADD', RQ + b'groups', group))
        for place in (b'finished', b'failed', b'canceled', b'scheduled'):
            if place in job.places:
                add((b'ZADD', RQ + place + b':' + queue, job.places[place], job.id))
        dependent = _dependent(job)
        if dependent.waits(self._statuses if status == b'deferred' else self._outside):
            self._defer(job, dependent, queue)
        elif status in (b'deferred', b'ready_to_enqueue'):
            self._enqueue(job, queue)
        elif status in (b'queued', b'rate_limited'):
            if fields.get(b'rate_limit_key') and fields.get(b'rate_limit_concurrency'):
                self._limit(job)
            else:
                add((b'SADD', Queue.redis_queues_keys, job.queue))
                add((b'RPUSH', job.queue, *[job.id] * max(job.times, 1)))
        elif job.times:
            # It was enqueued again while it was running.
            add((b'RPUSH', job.queue, *[job.id] * job.times))

    def _defer(self, job: _Taken, dependent: Dependent, queue: bytes) -> None:
        key, _, dependencies, *_ = keys_of(job.id)
        score = job.places.get(b'deferred', b'%f' % current_timestamp())
        self.commands += [
            (b'HSET', key, b'status', JobStatus.DEFERRED.value),
            (b'ZADD', RQ + b'deferred:' + queue, score, job.id),
            (b'SADD', dependencies, *dependent.dependencies),
        ]
        self.commands += ((b'SADD', RQ + b'job:' + other + b':dependents', job.id) for other in dependent.dependencies)

    def _enqueue(self, job: _Taken, queue: bytes) -> None:
        """Enqueue a job whose dependencies are met, as RQ's ReadyJobRegistry does."""
        fields = job.fields
        if fields.get(b'rate_limit_key') and fields.get(b'rate_limit_concurrency'):
            self._limit(job)
            return
        key = keys_of(job.id)[0]
        push = b'LPUSH' if fields.get(b'enqueue_at_front') == b'1' else b'RPUSH'
        self.commands += [
            (b'HSET', key, b'status', JobStatus.QUEUED.value, b'enqueued_at', utcformat(now())),
            (push, _QUEUE + queue, job.id),
        ]
        if fields.get(b'ttl', b'').isdigit():
            self.commands.append((b'EXPIRE', key, fields[b'ttl']))

    def _limit(self, job: _Taken) -> None:
        """Have a job with a rate limit wait for its turn, as RQ does with one that is enqueued again."""
        fields = job.fields
        limit, most = fields[b'rate_limit_key'], fields[b'rate_limit_concurrency']
        score: Any = job.places.get(b'rate_limited')
        if score is None:
            score = _created(fields)
        self.commands += [
            (b'SADD', RQ + b'rl-keys', limit),
            (b'HSET', RQ + b'rl:' + limit, b'concurrency', most),
            (b'HSET', keys_of(job.id)[0], b'status', JobStatus.RATE_LIMITED.value),
            (b'ZADD', RQ + b'rl:' + limit + b':rate_limited', score, job.id),
        ]
        self._limits[limit] = most


_QUEUE = Queue.redis_queue_namespace_prefix.encode()


def _created(fields: dict[bytes, bytes]) -> str:
    """Return when a job was created, in seconds since the epoch."""
    try:
        return repr(utcparse(fields[b'created_at'].decode()).timestamp())
    except (KeyError, ValueError):
        return repr(float(current_timestamp()))


def _acquire(limit: bytes, most: bytes) -> Command:
    """Return RQ's script that enqueues as many jobs with a rate limit as may be enqueued."""
    key = RQ + b'rl:' + limit
    return (
        *(b'EVAL', ACQUIRE_AND_ENQUEUE_SCRIPT, 2, key + b':allowed', key + b':rate_limited'),
        *(most, current_timestamp(), utcformat(now()), _QUEUE, RQ + b'job:'),
    )
