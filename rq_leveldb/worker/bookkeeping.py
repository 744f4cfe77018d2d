"""What is written to the store about a job: at its start and at its success, each in one round trip.

RQ's own methods write the same with about 59 commands in ten round trips. The two scripts here leave the store as
those methods do (`prepare_execution`, `prepare_job_execution` and `handle_job_success` of RQ 3.0); whatever they do
not cover (failures, retries, repeats, dependents, rate limits) goes through RQ's methods.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError
from rq.defaults import RQ_KEY_PREFIX
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import FinishedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.suspension import WORKERS_SUSPENDED
from rq.utils import as_text, current_timestamp, now, utcformat
from rq.worker import WorkerStatus

from rq_leveldb.process import Identity
from rq_leveldb.records import CLAIMS_KEY_TEMPLATE, ENDED_KEY, PAUSED_KEY

from .claim import Claim, Unusable, as_moment
from .executions import TAKEN, TAKEN_FUNCTION
from .history import Outcome, entry, function_of
from .script import Call, DryScript, Script, run_bare
from .site import Site
from .trouble import is_about_the_store

__all__ = ['Bookkeeper', 'Start', 'Suspended', 'Taken', 'mark_started']

# What is passed on to a child fits into its channel's buffer, so that a child that was stopped blocks nobody. Larger
# jobs the child reads itself.
_LARGEST_PASSED = 64 * 1024
_LARGEST_FIELD = 4096
# A script's memory is bounded, by 64 MiB in the store; it holds its arguments more than once.
_LARGEST_WRITTEN = 1 << 20

# Index of the longest data in the ARGV of _START.
_LONGEST_DATA = 12

# Ends a script where all workers are suspended, and says which queues are paused; mostly that is one command.
# KEYS: suspended, paused queues
_HEED_PAUSES = """
local paused = {}
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then
    if redis.call('EXISTS', KEYS[1]) == 1 then return false end
    -- Where it holds another type of value, nothing is paused.
    for _, key in ipairs(redis.pcall('SMEMBERS', KEYS[2])) do paused[key] = true end
end
"""

# Takes jobs off the queues and marks them as started, all in one step: there is no moment at which a job is
# neither in its queue nor known to be with this worker. A script's memory is bounded and a job's arguments are not: the
# fields come along only where the larger ones are short, and none if the caller says so.
# KEYS: suspended, paused queues, worker, the worker's executions, queues...
# ARGV: worker name, now as RQ writes it, now in seconds with fraction, now in whole seconds, monitoring interval,
#       worker's time to live, job prefix, execution prefix, execution registry prefix, started registry prefix,
#       busy, shortest lease, longest data to be returned, then for each job that may be taken its execution's id, the
#       process that runs it and when that started
# Returns nil when suspended, else a list of {queue, job id, execution id, size of the job's data, fields of the job or
# nil}. Where a key holds another type of value it is {queue, job id or '', '', words}: that job is set aside, or that
# queue passed over. For each paused queue it is {queue}.
_START = (
    _HEED_PAUSES
    + """
local worker, now_text, now_float, now_int = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local monitoring, shortest, longest = tonumber(ARGV[5]), tonumber(ARGV[12]), tonumber(ARGV[13])
local function short(key, field)
    if redis.call('HSTRLEN', key, field) <= 512 then return redis.call('HGET', key, field) end
end
local function failed(reply)
    return type(reply) == 'table' and reply.err
end
local taken = {}
local used = 14
local last_ttl = 0
for index = 5, #KEYS do
    if paused[KEYS[index]] then taken[#taken + 1] = {KEYS[index]} end
    while used <= #ARGV and not paused[KEYS[index]] do
        local id = redis.pcall('LPOP', KEYS[index])
        if failed(id) then
            if not string.find(id.err, 'WRONGTYPE', 1, true) then return id end
            taken[#taken + 1] = {KEYS[index], '', '', KEYS[index] .. ': ' .. id.err}
            break
        end
        if not id then break end
        local job_key = ARGV[7] .. id
        local size = redis.pcall('HSTRLEN', job_key, 'data')
        if failed(size) then
            taken[#taken + 1] = {KEYS[index], id, '', job_key .. ': ' .. size.err}
        elseif size > 0 or redis.call('HEXISTS', job_key, 'data') == 1 then
            local timeout, origin, raw
            if size <= longest and redis.call('HSTRLEN', job_key, 'meta') <= longest then
                raw = redis.call('HGETALL', job_key)
                for i = 1, #raw, 2 do
                    if raw[i] == 'timeout' then timeout = raw[i + 1]
                    elseif raw[i] == 'origin' then origin = raw[i + 1] end
                end
            else
                timeout, origin = short(job_key, 'timeout'), short(job_key, 'origin')
            end
            timeout = tonumber(timeout or '')
            local execution = ARGV[used]
            local ttl = monitoring + 60
            if timeout and timeout > 0 and timeout < monitoring then ttl = math.floor(timeout) + 60 end
            if ttl < shortest then ttl = shortest end
            local composite = id .. ':' .. execution
            local started = ARGV[10] .. (origin or '')
            local registry = ARGV[9] .. id
            local added = redis.pcall('ZADD', started, string.format('%d', now_int + ttl), composite)
            if failed(added) then
                redis.call('LPUSH', KEYS[index], id)
                taken[#taken + 1] = {KEYS[index], '', '', started .. ': ' .. added.err}
                break
            end
            added = redis.pcall('ZADD', registry, string.format('%d', now_int + ttl + 60), execution)
            if failed(added) then
                redis.call('ZREM', started, composite)
                taken[#taken + 1] = {KEYS[index], id, '', registry .. ': ' .. added.err}
            else
                if ttl > last_ttl then last_ttl = ttl end
                redis.call('EXPIRE', registry, ttl + 60)
                local execution_key = ARGV[8] .. composite
                redis.call('HSET', execution_key, 'id', execution, 'job_id', id, 'created_at', now_float,
                           'last_heartbeat', now_float, 'worker_name', worker, 'pid', ARGV[used + 1],
                           'pid_started', ARGV[used + 2])
                redis.call('EXPIRE', execution_key, ttl)
                if failed(redis.pcall('SADD', KEYS[4], composite)) then
                    redis.call('DEL', KEYS[4])
                    redis.call('SADD', KEYS[4], composite)
                end
                redis.call('HSET', job_key, 'status', 'started', 'started_at', now_text, 'last_heartbeat', now_text,
                           'worker_name', worker)
                redis.call('PERSIST', job_key)
                taken[#taken + 1] = {KEYS[index], id, execution, size, raw or false}
                used = used + 3
            end
        end
    end
end
if last_ttl > 0 then
    if redis.call('EXISTS', KEYS[3]) == 1 then
        redis.pcall('HSET', KEYS[3], 'state', ARGV[11], 'last_heartbeat', now_text)
        redis.call('EXPIRE', KEYS[3], ARGV[6])
    end
    redis.call('EXPIRE', KEYS[4], math.max(tonumber(ARGV[6]), last_ttl + 60))
end
return taken
"""
)

# Takes a job off the queues into RQ's intermediate queues, and writes down who has it.
# KEYS: suspended, paused queues, claims, then for each queue the queue and its intermediate queue
# ARGV: how many, job prefix
# Returns what _START returns, without an execution.
_CLAIM = (
    _HEED_PAUSES
    + """
local left = tonumber(ARGV[1])
local taken = {}
local function failed(reply)
    return type(reply) == 'table' and reply.err
end
for index = 4, #KEYS, 2 do
    if paused[KEYS[index]] then taken[#taken + 1] = {KEYS[index]} end
    while left > 0 and not paused[KEYS[index]] do
        local id = redis.pcall('LMOVE', KEYS[index], KEYS[index + 1], 'LEFT', 'RIGHT')
        if failed(id) then
            if not string.find(id.err, 'WRONGTYPE', 1, true) then return id end
            taken[#taken + 1] = {KEYS[index], '', '', KEYS[index] .. ': ' .. id.err}
            break
        end
        if not id then break end
        local size = redis.pcall('HSTRLEN', ARGV[2] .. id, 'data')
        if failed(size) then
            redis.call('LREM', KEYS[index + 1], 1, id)
            taken[#taken + 1] = {KEYS[index], id, '', ARGV[2] .. id .. ': ' .. size.err}
        elseif size > 0 or redis.call('HEXISTS', ARGV[2] .. id, 'data') == 1 then
            redis.call('HSET', KEYS[3], id, KEYS[index])
            left = left - 1
            taken[#taken + 1] = {KEYS[index], id, '', size}
        else
            redis.call('LREM', KEYS[index + 1], 1, id)
        end
    end
end
return taken
"""
)

# Writes down that a job succeeded, unless it has dependents: they need more than a script should do.
# KEYS: job, dependents, dependencies, results, finished registry, execution, started registry, execution registry,
#       the worker's executions, worker, the list of what has ended
# ARGV: composite key, execution id, working time, result's time to live, registry's score, job id,
#       1 if this is a repetition, worker's name, entry of that list, number of job fields * 2, job fields...,
#       result fields...
# Returns 1 when written, 0 when there are dependents, 2 when it had been written before, 3 when another worker has
# taken the execution over.
_SUCCEED = (
    TAKEN_FUNCTION
    + """
if ARGV[7] == '1' and redis.call('EXISTS', KEYS[6]) == 0 then return 2 end
if taken(KEYS[1], KEYS[6], KEYS[8], ARGV[2], ARGV[8]) then return 3 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('HINCRBY', KEYS[10], 'successful_job_count', 1)
redis.call('HINCRBYFLOAT', KEYS[10], 'total_working_time', ARGV[3])
redis.pcall('RPUSH', KEYS[11], ARGV[9])
local count = tonumber(ARGV[10])
redis.call('HSET', KEYS[1], unpack(ARGV, 11, 10 + count))
redis.call('XADD', KEYS[4], 'MAXLEN', '~', '10', '*', unpack(ARGV, 11 + count))
local ttl = tonumber(ARGV[4])
if ttl == -1 then redis.call('PERSIST', KEYS[4]) else redis.call('EXPIRE', KEYS[4], ARGV[4]) end
redis.call('ZADD', KEYS[5], ARGV[5], ARGV[6])
if ttl > 0 then
    redis.call('EXPIRE', KEYS[1], ARGV[4])
    redis.call('EXPIRE', KEYS[3], ARGV[4])
end
redis.call('DEL', KEYS[6])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('ZREM', KEYS[8], ARGV[2])
redis.call('SREM', KEYS[9], ARGV[1])
return 1
"""
)


class Taken(NamedTuple):
    """What was found in the queues.

    Args:
        found: jobs, and what is no job.
        paused: keys of the queues that were passed over because they are paused.
    """

    found: list[Claim | Unusable]
    paused: frozenset[str]


@dataclass
class Start:
    """The taking of jobs, as one call of the store.

    Args:
        call: what the script is called with.
        at: when the jobs are said to have started, in seconds since the epoch.
        children: the processes that are to run them, by the ids of their executions; no more jobs are taken.
        reply: what the script returned, or what the store refused; None before it is called, and where all workers are
            suspended.
    """

    call: Call
    at: float
    children: Mapping[str, Identity]
    reply: Any = None


class Suspended(Exception):
    """Somebody told all workers to take no jobs for now."""


def mark_started(job: Job, worker_name: str) -> None:
    """Bring RQ's object to what the store says since `Bookkeeper.start`."""
    job.worker_name = worker_name
    job.started_at = job.last_heartbeat = now()
    job._status = JobStatus.STARTED


def _known(script: Script, call: Call, reply: Any) -> Any:
    """Return a script's reply or what the store refused; a script that the store does not know is sent to it."""
    if not isinstance(reply, NoScriptError):
        return reply
    try:
        return script.run_unknown(*call)
    except ResponseError as error:
        return error


class Bookkeeper:
    """Runs the scripts for one worker.

    Args:
        site: whose name, connection and classes count.
        dry: go through the motions, and leave the store alone.
    """

    def __init__(self, site: Site, *, dry: bool = False) -> None:
        script = DryScript if dry else Script
        self._site = site
        self._start = script(site.connection, _START)
        self._claim = script(site.connection, _CLAIM)
        self._succeed = script(site.connection, _SUCCEED)

    def start(self, queues: list[Queue], children: Mapping[str, Identity]) -> Taken:
        """Take jobs off the queues, in the queues' order, and mark them as started.

        Args:
            queues: where to look.
            children: which processes will run them, by the ids that their executions are to have; no more are taken.

        Raises:
            Suspended: workers are to take none.
        """
        start = self.start_of(queues, children)
        try:
            start.reply = self._start.run(*start.call)
        except ResponseError as error:
            if is_about_the_store(error):
                raise
            # Some field that is short in all of RQ's jobs is too long for the script in this one.
            keys, arguments = start.call
            start.reply = self._start.run(keys, [*arguments[:_LONGEST_DATA], '0', *arguments[_LONGEST_DATA + 1 :]])
        return self.taken(start)

    def start_of(self, queues: list[Queue], children: Mapping[str, Identity]) -> Start:
        """Return what `start` calls the store with; arguments as there."""
        site = self._site
        at = time.time()
        keys = [WORKERS_SUSPENDED, PAUSED_KEY, site.key, site.executions_key, *(queue.key for queue in queues)]
        arguments = [
            site.name,
            utcformat(as_moment(at)),
            repr(at),
            str(current_timestamp()),
            str(site.job_monitoring_interval),
            str(site.worker_ttl + 60),
            site.job_class.redis_job_namespace_prefix,
            f'{RQ_KEY_PREFIX}:execution:',
            ExecutionRegistry.key_template.format(''),
            StartedJobRegistry.key_template.format(''),
            WorkerStatus.BUSY.value,
            str(site.shortest_lease),
            str(_LARGEST_PASSED),
        ]
        for execution_id, child in children.items():
            arguments += (execution_id, str(child.pid), child.started)
        return Start((keys, arguments), at, children)

    def taken(self, start: Start) -> Taken:
        """Return what was taken by a call that the store has not refused.

        Raises:
            Suspended: workers are to take none.
        """
        return self._taken(start.reply, start.at)

    def claim(self, queues: list[Queue]) -> Taken:
        """Take a job off the queues and leave the rest to RQ's own methods.

        Args:
            queues: where to look.

        Raises:
            Suspended: workers are to take none.
        """
        keys = [WORKERS_SUSPENDED, PAUSED_KEY, CLAIMS_KEY_TEMPLATE.format(self._site.name)]
        for queue in queues:
            keys += [queue.key, IntermediateQueue.get_intermediate_queue_key(queue.key)]
        arguments = ['1', self._site.job_class.redis_job_namespace_prefix]
        return self._taken(self._claim.run(keys, arguments), time.time())

    def _taken(self, reply: Any, at: float) -> Taken:
        if reply is None:
            raise Suspended
        found: list[Claim | Unusable] = []
        paused: set[str] = set()
        for queue_key, *row in reply:
            queue_name = as_text(queue_key)
            if not row:
                paused.add(queue_name)
                continue
            job_id, execution_id, size, *fields = row
            if isinstance(size, int):
                raw, whole = self._read(job_id, size, fields[0] if fields else None)
                found.append(Claim(queue_name, as_text(job_id), as_text(execution_id), raw, at, whole))
            else:
                found.append(Unusable(queue_name, as_text(job_id), size.decode('utf-8', 'replace')))
        return Taken(found, frozenset(paused))

    def _read(self, job_id: bytes, size: int, fields: Any = None) -> tuple[dict[bytes, bytes], bool]:
        """Return a job's fields, and whether these are all.

        Args:
            job_id: which job.
            size: of its data.
            fields: as the script returned them; None if it did not.
        """
        key = self._site.job_class.redis_job_namespace_prefix.encode() + job_id
        if size <= _LARGEST_PASSED:
            if fields is None:
                fields = self._call('HGETALL', key)
            raw = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
            if sum(map(len, raw.values())) <= _LARGEST_PASSED:
                return raw, True
            return {name: value for name, value in raw.items() if len(value) <= _LARGEST_FIELD}, False
        names = sorted(self._call('HKEYS', key))
        lengths = self._pipelined('HSTRLEN', key, names)
        short = [name for name, length in zip(names, lengths, strict=True) if length <= _LARGEST_FIELD]
        values = self._call('HMGET', key, *short) if short else []
        return {name: value for name, value in zip(short, values, strict=True) if value is not None}, False

    def _pipelined(self, command: str, key: bytes, names: list[bytes]) -> list[int]:
        with self._site.connection.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.execute_command(command, key, name)
            lengths: list[int] = pipeline.execute()
        return lengths

    def _call(self, *command: Any) -> Any:
        return run_bare(self._site.connection, *command)

    def release_claim(self, job_id: str) -> None:
        """Forget who had a job, now that its execution says so."""
        self._site.connection.hdel(CLAIMS_KEY_TEMPLATE.format(self._site.name), job_id)

    def succeed(self, job: Job, call: Call) -> bool:
        """Write down that a job succeeded; returns whether it is written: else RQ's own way has to be taken.

        Args:
            job: the job.
            call: what `success_of` returned.
        """
        return self._is_written(job, self._succeed.run(*call))

    def commands(self, successes: Sequence[Call], start: Start | None) -> list[tuple[Any, ...]]:
        """Return what writes down that several jobs succeeded and then takes further ones, to be sent at once.

        Args:
            successes: what `success_of` returned, for each job.
            start: what takes further jobs; None if none are to be taken.
        """
        commands = [self._succeed.command(*call) for call in successes]
        if start is not None:
            commands.append(self._start.command(*start.call))
        return commands

    def outcomes(
        self, successes: Sequence[tuple[Job, Call]], start: Start | None, replies: Sequence[Any]
    ) -> list[bool | Exception]:
        """Return for each job what `succeed` returns, or what the store refused.

        Args:
            successes: the jobs, and the calls of which `commands` was told.
            start: likewise; it gets its reply.
            replies: to `commands`.

        Raises:
            RedisError: a script had to be sent again, and the store went away; it may have been carried out.
        """
        outcomes: list[bool | Exception] = []
        for (job, call), reply in zip(successes, replies, strict=False):
            reply = _known(self._succeed, call, reply)
            outcomes.append(reply if isinstance(reply, Exception) else self._is_written(job, reply))
        if start is not None:
            start.reply = _known(self._start, start.call, replies[-1])
        return outcomes

    def _is_written(self, job: Job, reply: int) -> bool:
        site = self._site
        if reply == 2:
            site.log.info('the success of job %s was already written', job.id)
        if reply == 3:
            site.log.warning(TAKEN, job.id)
        return bool(reply)

    def success_of(
        self, job: Job, execution: Execution, result_ttl: int, extra: dict[str, Any], *, repetition: bool
    ) -> Call | None:
        """Return what the script is called with that writes down that a job succeeded; None if it is too much for that.

        Args:
            job: the job, with its result and times.
            execution: the execution that ran it.
            result_ttl: seconds to keep the result; -1 forever, never 0.
            extra: further fields of the job.
            repetition: it may have been written already, by a call whose answer was lost.
        """
        site = self._site
        job._status = JobStatus.FINISHED
        mapping = job.to_dict(include_meta=False, include_result=False)
        mapping.update(extra)
        result = Result(
            job_id=job.id,
            type=Result.Type.SUCCESSFUL,
            connection=job.connection,
            return_value=job._result,
            worker_name=site.name,
            serializer=job.serializer,
            execution_id=execution.id,
            execution_started_at=execution.created_at,
            execution_ended_at=job.ended_at,
        )
        stream = result.serialize()
        job_id = job.id
        assert job.ended_at is not None
        assert job.started_at is not None
        keys = [
            job.key,
            job.dependents_key,
            job.dependencies_key,
            Result.get_key(job_id),
            FinishedJobRegistry.key_template.format(job.origin),
            execution.key,
            StartedJobRegistry.key_template.format(job.origin),
            ExecutionRegistry.key_template.format(job_id),
            site.executions_key,
            site.key,
            ENDED_KEY,
        ]
        values = [*mapping.values(), *stream.values()]
        if sum(len(value) for value in values if isinstance(value, str | bytes)) > _LARGEST_WRITTEN:
            return None
        arguments: list[Any] = [
            execution.composite_key,
            execution.id,
            repr((job.ended_at - job.started_at).total_seconds()),
            result_ttl,
            '+inf' if result_ttl == -1 else current_timestamp() + result_ttl if result_ttl >= 0 else result_ttl,
            job_id,
            int(repetition),
            site.name,
            entry(job, execution, job.enqueued_at, Outcome.FINISHED, function_of(job, site.serializer)),
            len(mapping) * 2,
        ]
        for name, value in mapping.items():
            arguments += (name, value)
        for name, value in stream.items():
            arguments += (name, value)
        return keys, arguments
