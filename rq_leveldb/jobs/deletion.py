"""Deleting jobs, whatever their state, and whether or not they can be read."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.results import Result

from rq_leveldb.jobs.bulk import Change, Guard, Outcome, carry_out
from rq_leveldb.jobs.known import KnownJob, know
from rq_leveldb.lookup import REGISTRIES, Seen, find_queues, is_refused, registry_key, replies
from rq_leveldb.records import output_key

__all__ = ['GONE', 'delete', 'delete_many']

GONE = (NoSuchJobError, InvalidJobOperation)
"""What RQ raises for a job that is gone."""


def delete(seen: Seen, with_dependents: bool = False) -> bool:
    """Delete a job; say whether it was still there.

    Args:
        seen: a job that was found.
        with_dependents: whether to delete the jobs that depend on it as well.

    Raises:
        Exception: RQ could not read what belongs to its dependents.
    """
    (outcome,) = delete_many(seen.job.connection, [seen], with_dependents)
    if isinstance(outcome, GONE):
        return False
    if outcome is not None:
        raise outcome
    return True


def delete_many(connection: Redis, found: Sequence[Seen], with_dependents: bool = False) -> list[Outcome]:
    """Delete jobs as `Job.delete` does, in few round trips.

    Args:
        connection: the store.
        found: the jobs, as they were read.
        with_dependents: whether to delete the jobs that depend on them as well.

    Returns:
        For each what RQ raised: one of `GONE`, or another exception if RQ could not read what belongs to its
        dependents; None if it was deleted.
    """
    known: Sequence[KnownJob | None] = [None] * len(found)
    if not with_dependents:
        known = know(connection, [seen.job for seen in found])
    return carry_out(connection, [_Deletion(*pair, with_dependents) for pair in zip(found, known, strict=True)])


class _Deletion(Change):
    def __init__(self, seen: Seen, known: KnownJob | None, with_dependents: bool) -> None:
        self._seen = seen
        self._known = known
        self._with_dependents = with_dependents

    def collect(self, pipe: Pipeline) -> Sequence[Guard]:
        if self._known is None or self._seen.faults:
            return ()
        try:
            self._known.delete(pipeline=pipe)
        except RedisError:
            raise
        except Exception:
            # A group of it that cannot be read or has expired.
            return ()
        return self._known.guards

    def do_alone(self) -> None:
        if self._seen.faults:
            _remove(self._seen.job)
            return
        try:
            self._seen.job.delete(delete_dependents=self._with_dependents)
        except (*GONE, RedisError):
            raise
        except Exception:
            # An execution or a group of it that cannot be read or has expired, before anything was deleted.
            if self._with_dependents:
                raise
            _remove(self._seen.job)


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
