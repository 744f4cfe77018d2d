"""Deleting a job, whatever its state, and whether or not it can be read."""

from __future__ import annotations

from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.results import Result

from rq_leveldb.lookup import REGISTRIES, Seen, find_queues, is_refused, registry_key, replies
from rq_leveldb.records import output_key

__all__ = ['delete']


def delete(seen: Seen, with_dependents: bool = False) -> bool:
    """Delete a job; say whether it was still there.

    Args:
        seen: a job that was found.
        with_dependents: whether to delete the jobs that depend on it as well.

    Raises:
        Exception: RQ could not read what belongs to its dependents.
    """
    if seen.faults:
        _remove(seen.job)
        return True
    try:
        seen.job.delete(delete_dependents=with_dependents)
    except (NoSuchJobError, InvalidJobOperation):
        return False
    except RedisError:
        raise
    except Exception:
        # An execution or a group of it that cannot be read or has expired, before anything was deleted.
        if with_dependents:
            raise
        _remove(seen.job)
    return True


def _remove(job: Job) -> None:
    """Delete a job that cannot be read, or something that belongs to it: RQ's method would read it."""
    pipe = job.connection.pipeline(transaction=False)
    pipe.zrange(job.execution_registry.key, 0, -1)
    (found,) = replies(pipe)
    executions = [] if is_refused(found) else [f'{job.id}:{name.decode("utf-8", "replace")}' for name in found]
    for name in [job.origin] if job.origin else find_queues(job.connection).names:
        pipe.lrem(registry_key('queued', name), 0, job.id)
        for state in REGISTRIES:
            pipe.zrem(registry_key(state, name), job.id, *executions)
    for name in executions:
        pipe.delete(f'{RQ_KEY_PREFIX}:execution:{name}')
    pipe.delete(job.key, job.dependents_key, job.execution_registry.key, Result.get_key(job.id), output_key(job.id))
    # A registry of another type holds no job.
    replies(pipe)
