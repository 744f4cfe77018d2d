"""What is written to the store about a job: at its start and at its success, each in one round trip.

RQ's own methods write the same with about 59 commands in ten round trips. The two scripts here leave the store as
those methods do (`prepare_execution`, `prepare_job_execution` and `handle_job_success` of RQ 3.0); whatever they do
not cover (failures, retries, repeats, dependents, rate limits) goes through RQ's methods.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from redis.exceptions import NoScriptError, ResponseError
from rq.defaults import FORMAT_KEY_PREFIX, RQ_KEY_PREFIX
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.registry import FinishedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.suspension import WORKERS_SUSPENDED
from rq.utils import as_text, current_timestamp, now, utcformat
from rq.worker import WorkerStatus

if TYPE_CHECKING:
    from redis import Redis
    from rq.queue import Queue

    from rq_leveldb.process import Identity

    from .worker import Worker

__all__ = [
    'CLAIMS_KEY_TEMPLATE',
    'KEPT_USAGES',
    'Bookkeeper',
    'Claim',
    'Sealed',
    'SealedSerializer',
    'Suspended',
    'decode_list',
    'encode_list',
    'mark_started',
]

CLAIMS_KEY_TEMPLATE = FORMAT_KEY_PREFIX + ':worker:{0}:claims'
KEPT_USAGES = 10

# Takes jobs off the queues and marks them as started, all in one step: there is no moment at which a job is
# neither in its queue nor known to be with this worker.
# KEYS: suspended, worker, the worker's executions, queues...
# ARGV: worker name, now as RQ writes it, now in seconds with fraction, now in whole seconds, monitoring interval,
#       worker's time to live, job prefix, execution prefix, execution registry prefix, started registry prefix,
#       busy, the process that runs it and when that started, seconds to keep an execution that is not heard of or 0
#       for RQ's rule, execution ids...
# Returns nil when suspended, else a list of {queue, job id, execution id, fields of the job}.
_START = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local worker, now_text, now_float, now_int = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local monitoring = tonumber(ARGV[5])
local taken = {}
local lease = tonumber(ARGV[14])
local used = 15
local last_ttl = 0
for index = 4, #KEYS do
    while used <= #ARGV do
        local id = redis.call('LPOP', KEYS[index])
        if not id then break end
        local job_key = ARGV[7] .. id
        local raw = redis.call('HGETALL', job_key)
        local timeout, origin, data
        for i = 1, #raw, 2 do
            if raw[i] == 'timeout' then timeout = tonumber(raw[i + 1])
            elseif raw[i] == 'origin' then origin = raw[i + 1]
            elseif raw[i] == 'data' then data = true end
        end
        if data then
            local execution = ARGV[used]
            used = used + 1
            local ttl = monitoring + 60
            if lease > 0 then ttl = lease
            elseif timeout and timeout > 0 and timeout < monitoring then ttl = math.floor(timeout) + 60 end
            if ttl > last_ttl then last_ttl = ttl end
            local composite = id .. ':' .. execution
            local execution_key = ARGV[8] .. composite
            redis.call('HSET', execution_key, 'id', execution, 'job_id', id, 'created_at', now_float,
                       'last_heartbeat', now_float, 'worker_name', worker, 'pid', ARGV[12],
                       'pid_started', ARGV[13])
            redis.call('EXPIRE', execution_key, ttl)
            local registry = ARGV[9] .. id
            redis.call('ZADD', registry, string.format('%d', now_int + ttl + 60), execution)
            redis.call('EXPIRE', registry, ttl + 60)
            redis.call('ZADD', ARGV[10] .. (origin or ''), string.format('%d', now_int + ttl), composite)
            redis.call('SADD', KEYS[3], composite)
            redis.call('HSET', job_key, 'status', 'started', 'started_at', now_text, 'last_heartbeat', now_text,
                       'worker_name', worker)
            redis.call('PERSIST', job_key)
            taken[#taken + 1] = {KEYS[index], id, execution, raw}
        end
    end
end
if #taken > 0 then
    redis.call('HSET', KEYS[2], 'state', ARGV[11], 'last_heartbeat', now_text)
    redis.call('EXPIRE', KEYS[2], ARGV[6])
    redis.call('EXPIRE', KEYS[3], ARGV[6])
end
return taken
"""

# Takes jobs off the queues into RQ's intermediate queues, and writes down who has them.
# KEYS: suspended, claims, then for each queue the queue and its intermediate queue
# ARGV: how many, job prefix
_CLAIM = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local left = tonumber(ARGV[1])
local taken = {}
for index = 3, #KEYS, 2 do
    while left > 0 do
        local id = redis.call('LMOVE', KEYS[index], KEYS[index + 1], 'LEFT', 'RIGHT')
        if not id then break end
        local raw = redis.call('HGETALL', ARGV[2] .. id)
        local data = false
        for i = 1, #raw, 2 do
            if raw[i] == 'data' then data = true end
        end
        if data then
            redis.call('HSET', KEYS[2], id, KEYS[index])
            left = left - 1
            taken[#taken + 1] = {KEYS[index], id, '', raw}
        else
            redis.call('LREM', KEYS[index + 1], 1, id)
        end
    end
end
return taken
"""

# Writes down that a job succeeded, unless it has dependents: they need more than a script should do.
# KEYS: job, dependents, dependencies, results, finished registry, execution, started registry, execution registry,
#       the worker's executions, worker
# ARGV: composite key, execution id, working time, result's time to live, registry's score, job id,
#       1 if this is a repetition, number of job fields * 2, job fields..., result fields...
# Returns 1 when written, 0 when there are dependents, 2 when it had been written before.
_SUCCEED = """
if ARGV[7] == '1' and redis.call('EXISTS', KEYS[6]) == 0 then return 2 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('HINCRBY', KEYS[10], 'successful_job_count', 1)
redis.call('HINCRBYFLOAT', KEYS[10], 'total_working_time', ARGV[3])
local count = tonumber(ARGV[8])
local fields, stream = {}, {}
for i = 9, 8 + count do fields[#fields + 1] = ARGV[i] end
for i = 9 + count, #ARGV do stream[#stream + 1] = ARGV[i] end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('XADD', KEYS[4], 'MAXLEN', '~', '10', '*', unpack(stream))
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


class Suspended(Exception):
    """Somebody told all workers to take no jobs for now."""


@dataclass
class Claim:
    """A job that was taken off a queue by this worker.

    Args:
        queue_key: the queue's key in the store.
        job_id: the job's id.
        execution_id: id of the execution that was written for it; '' when RQ's own methods still have to do it.
        raw: the job's fields as the store returned them.
        at: when, in seconds since the epoch.
    """

    queue_key: str
    job_id: str
    execution_id: str
    raw: dict[bytes, bytes]
    at: float = field(default_factory=time.time)

    def execution(self, worker: Worker) -> Execution:
        """Return RQ's object for the execution that the store already knows."""
        execution = Execution(self.execution_id, self.job_id, worker.connection, worker_name=worker.name)
        execution.created_at = execution.last_heartbeat = _moment(self.at)
        return execution

    def job(self, worker: Worker, queue: Queue) -> Job:
        """Return RQ's object for the job, in the class that the worker uses."""
        job_class = worker.job_class
        if job_class.refresh is not Job.refresh or job_class.fetch.__func__ is not Job.fetch.__func__:  # type: ignore[attr-defined]
            return job_class.fetch(self.job_id, connection=worker.connection, serializer=queue.serializer)
        job = job_class(self.job_id, connection=worker.connection, serializer=worker.serializer)
        job.restore(self.raw)
        return job


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def encode_list(entries: list[dict[str, Any]]) -> str:
    """Return the text of a list that is kept with a job, its oldest entries left out."""
    return json.dumps(entries[-KEPT_USAGES:], separators=(',', ':'))


def decode_list(text: bytes | str | None) -> list[dict[str, Any]]:
    """Return the list that `encode_list` wrote; an empty one for what it did not write."""
    try:
        entries = json.loads(text or '[]')
    except ValueError:
        return []
    return entries if isinstance(entries, list) else []


class Sealed:
    """A result that the job's process has serialized already.

    Args:
        data: as the job's serializer wrote it.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data


class SealedSerializer:
    """A serializer that lets sealed results pass.

    Args:
        serializer: for everything else.
    """

    def __init__(self, serializer: Any) -> None:
        self.loads = serializer.loads
        self._dumps = serializer.dumps

    def dumps(self, value: Any) -> Any:
        """Return the serialized value."""
        return value.data if isinstance(value, Sealed) else self._dumps(value)


def mark_started(job: Job, worker_name: str) -> None:
    """Bring RQ's object to what the store says since `Bookkeeper.start`."""
    job.worker_name = worker_name
    job.started_at = job.last_heartbeat = now()
    job._status = JobStatus.STARTED


class _Script:
    """A script, run over a connection of the pool without redis-py's layers above it.

    They cost a third of the call, and in a forked child twice that: whatever code runs there touches pages that are
    then copied. They would also repeat a call whose answer was lost, and these scripts must not be repeated blindly.

    Args:
        client: the store.
        source: Lua.
    """

    def __init__(self, client: Redis, source: str) -> None:
        self._client = client
        self._source = source
        self._digest = hashlib.sha1(source.encode()).hexdigest()

    def run(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Run it and return its reply.

        Args:
            keys: KEYS of the script.
            arguments: ARGV of the script.

        Raises:
            RedisError: the store refused, or went away.
        """
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command('EVALSHA', self._digest, len(keys), *keys, *arguments)
            try:
                return connection.read_response()
            except NoScriptError:
                connection.send_command('EVAL', self._source, len(keys), *keys, *arguments)
                return connection.read_response()
        except BaseException as error:
            if not isinstance(error, ResponseError):
                # The answer may come later, and would be taken for that of another command.
                connection.disconnect()
            raise
        finally:
            pool.release(connection)


class _DryScript(_Script):
    def run(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        return 1


class Bookkeeper:
    """Runs the scripts for one worker.

    Args:
        worker: whose name, connection and classes count.
        dry: go through the motions, and leave the store alone.
    """

    def __init__(self, worker: Worker, *, dry: bool = False) -> None:
        script = _DryScript if dry else _Script
        self._worker = worker
        self._start = script(worker.connection, _START)
        self._claim = script(worker.connection, _CLAIM)
        self._succeed = script(worker.connection, _SUCCEED)

    def start(self, queues: list[Queue], child: Identity) -> list[Claim]:
        """Take a job off the queues, in the queues' order, and mark it as started.

        Args:
            queues: where to look.
            child: which process will run it.

        Raises:
            Suspended: workers are to take none.
        """
        worker = self._worker
        at = time.time()
        keys = [WORKERS_SUSPENDED, worker.key, worker.executions_key, *(queue.key for queue in queues)]
        arguments = [
            worker.name,
            utcformat(_moment(at)),
            repr(at),
            str(current_timestamp()),
            str(worker.job_monitoring_interval),
            str(worker.worker_ttl + 60),
            worker.job_class.redis_job_namespace_prefix,
            f'{RQ_KEY_PREFIX}:execution:',
            ExecutionRegistry.key_template.format(''),
            StartedJobRegistry.key_template.format(''),
            WorkerStatus.BUSY.value,
            str(child.pid),
            child.started,
            str(worker.lease),
            uuid4().hex,
        ]
        return self._claims(self._start.run(keys, arguments), at)

    def claim(self, queues: list[Queue], child: Identity) -> list[Claim]:
        """Take a job off the queues and leave the rest to RQ's own methods.

        Args:
            queues: where to look.
            child: which process will run it.

        Raises:
            Suspended: workers are to take none.
        """
        keys = [WORKERS_SUSPENDED, CLAIMS_KEY_TEMPLATE.format(self._worker.name)]
        for queue in queues:
            keys += [queue.key, IntermediateQueue.get_intermediate_queue_key(queue.key)]
        arguments = ['1', self._worker.job_class.redis_job_namespace_prefix]
        return self._claims(self._claim.run(keys, arguments), time.time())

    @staticmethod
    def _claims(reply: Any, at: float) -> list[Claim]:
        if reply is None:
            raise Suspended
        claims = []
        for queue_key, job_id, execution_id, fields in reply:
            raw = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
            claims.append(Claim(as_text(queue_key), as_text(job_id), as_text(execution_id), raw, at))
        return claims

    def release_claim(self, job_id: str) -> None:
        """Forget who had a job, now that its execution says so."""
        self._worker.connection.hdel(CLAIMS_KEY_TEMPLATE.format(self._worker.name), job_id)

    def succeed(
        self, job: Job, execution: Execution, result_ttl: int, extra: dict[str, Any], *, repetition: bool
    ) -> bool:
        """Write down that a job succeeded.

        Args:
            job: the job, with its result and times.
            execution: the execution that ran it.
            result_ttl: seconds to keep the result; -1 for ever, never 0.
            extra: further fields of the job.
            repetition: it may have been written already, by a call whose answer was lost.

        Returns:
            Whether it is written; else RQ's own way has to be taken.
        """
        worker = self._worker
        job._status = JobStatus.FINISHED
        mapping = job.to_dict(include_meta=False, include_result=False)
        mapping.update(extra)
        result = Result(
            job_id=job.id,
            type=Result.Type.SUCCESSFUL,
            connection=job.connection,
            return_value=job._result,
            worker_name=worker.name,
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
            worker.executions_key,
            worker.key,
        ]
        arguments: list[Any] = [
            execution.composite_key,
            execution.id,
            repr((job.ended_at - job.started_at).total_seconds()),
            result_ttl,
            '+inf' if result_ttl == -1 else current_timestamp() + result_ttl if result_ttl >= 0 else result_ttl,
            job_id,
            int(repetition),
            len(mapping) * 2,
        ]
        for name, value in mapping.items():
            arguments += (name, value)
        for name, value in stream.items():
            arguments += (name, value)
        written: int = self._succeed.run(keys, arguments)
        if written == 2:
            worker.log.info('Worker %s: success of job %s had been written already', worker.name, job_id)
        return bool(written)
