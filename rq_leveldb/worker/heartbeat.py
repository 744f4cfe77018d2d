"""What a live worker says about itself and the jobs that it runs: whole records, never half of one.

RQ's heartbeats write a field of a hash whether it is there or not. After a pause (a stopped process, a suspended
laptop) or a jump of the clock it has expired, and what they make is a hash of one field, over which everybody who
reads it stumbles. Here is written only what exists; what is gone and still true is written again as a whole.
"""

from __future__ import annotations

import time
from typing import Any

from redis.client import Pipeline
from redis.exceptions import ResponseError
from rq import worker_registration
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.utils import current_timestamp, now, utcformat
from rq.worker.base import BaseWorker

from rq_leveldb.process import Identity
from rq_leveldb.records import BEAT_FIELD, PID_STARTED_FIELD
from rq_leveldb.unreadable import is_wrong_type, list_aside

__all__ = ['Heartbeat', 'new_beat']

# KEYS: worker, its executions
# ARGV: time, beat, time to live
# Returns 0 if there is no whole record.
_BEAT = """
if redis.call('HEXISTS', KEYS[1], 'birth') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'last_heartbeat', ARGV[1], 'beat', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""

# KEYS: job, execution, started registry, execution registry, the worker's executions
# ARGV: time, time in seconds, score of the started registry, of the execution registry, time to live, worker's name,
#       composite key, execution id, fields of the whole execution...
# An expired execution is written again only if the job still belongs to this worker and was not started again.
_MAINTAIN = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return 0 end
redis.call('HSET', KEYS[1], 'last_heartbeat', ARGV[1])
local xx = true
if redis.call('HEXISTS', KEYS[2], 'created_at') == 0 then
    if status ~= 'started' or redis.call('HGET', KEYS[1], 'worker_name') ~= ARGV[6] then
        redis.call('DEL', KEYS[2])
        return 0
    end
    for _, other in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
        if other ~= ARGV[8] then
            redis.call('DEL', KEYS[2])
            return 0
        end
    end
    for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
    xx = false
end
redis.call('HSET', KEYS[2], 'last_heartbeat', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[5])
if xx then
    redis.call('ZADD', KEYS[3], 'XX', ARGV[3], ARGV[7])
    redis.call('ZADD', KEYS[4], 'XX', ARGV[4], ARGV[8])
else
    redis.call('ZADD', KEYS[3], ARGV[3], ARGV[7])
    redis.call('ZADD', KEYS[4], ARGV[4], ARGV[8])
end
redis.call('SADD', KEYS[5], ARGV[7])
redis.call('EXPIRE', KEYS[4], ARGV[5] + 60)
return 1
"""


def new_beat() -> str:
    """Return a value that differs from that of every other beat of the same process."""
    return str(time.monotonic_ns())


class Heartbeat:
    """Writes the heartbeats of one worker.

    Args:
        worker: whose they are.
    """

    def __init__(self, worker: BaseWorker) -> None:
        self._worker = worker
        self._beat = worker.connection.register_script(_BEAT)
        self._maintain = worker.connection.register_script(_MAINTAIN)

    def touch(self, pipeline: Pipeline | None = None) -> Any:
        """Write that the worker lives, if it is registered.

        Args:
            pipeline: where to put the command; None to run it.

        Returns:
            0 if it is not registered any more; nothing of use with a pipeline.
        """
        worker = self._worker
        worker.last_heartbeat = now()
        ttl = worker.worker_ttl + 60
        arguments: list[Any] = [utcformat(worker.last_heartbeat), new_beat(), ttl]
        return self._beat(keys=[worker.key, worker.executions_key], args=arguments, client=pipeline)

    def beat(self) -> bool:
        """Write that the worker lives; register it again if its record has expired or the store was emptied.

        Returns:
            Whether it had to be registered again: then its jobs' heartbeats are due as well.

        Raises:
            RedisError: the store went away, or refuses.
        """
        worker = self._worker
        try:
            if self.touch():
                return False
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            # Somebody overwrote its own record.
            worker.connection.delete(worker.key)
        worker.log.info('Worker %s: its record is gone from the store, registering again', worker.name)
        fields: dict[Any, Any] = worker.serialize()
        with worker.connection.pipeline() as pipeline:
            pipeline.hset(worker.key, mapping={**fields, 'state': worker.get_state(), BEAT_FIELD: new_beat()})
            worker_registration.register(worker, pipeline)
            pipeline.expire(worker.key, worker.worker_ttl + 60)
            pipeline.execute()
        return True

    def maintain(self, job: Job, execution: Execution, process: Identity | None) -> None:
        """Write that a job is still running.

        Args:
            job: which one.
            execution: of this worker.
            process: what runs it, where that is known.

        Raises:
            RedisError: the store went away, or refuses.
        """
        worker = self._worker
        moment = now()
        ttl = int(worker.get_heartbeat_ttl(job))
        score = current_timestamp() + ttl
        execution.last_heartbeat = job.last_heartbeat = moment
        fields = execution.serialize()
        if process is not None:
            fields.update({'pid': process.pid, PID_STARTED_FIELD: process.started})
        arguments: list[Any] = [utcformat(moment), moment.timestamp(), score, score + 60, ttl, worker.name]
        arguments += [execution.composite_key, execution.id]
        for name, value in fields.items():
            arguments += (name, value)
        registry = job.started_job_registry.key
        keys = [job.key, execution.key, registry, ExecutionRegistry.key_template.format(job.id), worker.executions_key]
        try:
            self._maintain(keys=keys, args=arguments)
        except ResponseError as error:
            if list_aside(worker.connection, execution.key, f'no heartbeat could be written: {error}'):
                worker.log.error('Worker %s: no heartbeat for job %s: %s', worker.name, job.id, error)
