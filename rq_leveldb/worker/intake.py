"""From a queue to an assignment: takes jobs off the queues, and sets aside what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.executions import Execution
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.logutils import blue, green
from rq.queue import Queue
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import DequeueStrategy, WorkerStatus
from rq.worker.base import BaseWorker

from rq_leveldb.lookup import is_refused, replies
from rq_leveldb.process import Identity
from rq_leveldb.records import PAUSED_KEY
from rq_leveldb.unreadable import UnreadableJob, list_aside

from .assignment import Assignment, Task, state_of
from .bookkeeping import Start, Suspended, Taken
from .broken import fail_unreadable
from .claim import Claim, Unusable, raw_fields
from .executions import drop_execution
from .performing import PerformingWorker
from .trouble import is_about_the_store
from .untouched import starts_as_shipped

__all__ = ['Intake']


class Intake:
    """Takes one worker's jobs off its queues.

    Args:
        worker: the worker, whose methods are called as RQ's worker calls them.
        state_is_stored: called with the worker's state when it was written down together with something else.
    """

    def __init__(self, worker: PerformingWorker, state_is_stored: Callable[[str], None]) -> None:
        self._worker = worker
        self._site = worker.site
        self._plain = starts_as_shipped(worker)
        self._store_says = state_is_stored
        self._own_dequeue = self._uses_own_dequeue()
        self._in_hand: dict[str, Claim] = {}
        self._found: list[Assignment] = []
        self._told: set[str] = set()
        self.paused: frozenset[str] = frozenset()
        """Keys of its queues that were paused when somebody looked last."""

    def look_for_pauses(self) -> bool:
        """Learn which queues are paused, and return whether workers are to take no jobs at all.

        Raises:
            RedisError: the store is away.
        """
        pipe = self._site.connection.pipeline(transaction=False)
        pipe.exists(WORKERS_SUSPENDED)
        pipe.smembers(PAUSED_KEY)
        is_suspended, paused = replies(pipe)
        named = () if is_refused(paused) else paused
        self._heed(frozenset(queue.key for queue in self._site.queues if queue.key.encode() in named))
        return bool(is_suspended)

    def _heed(self, paused: frozenset[str]) -> None:
        site = self._site
        for key in paused ^ self.paused:
            now = 'paused' if key in paused else 'no longer paused'
            site.log.info('queue %s is %s', site.queue_for(key).name, now)
        self.paused = paused

    @property
    def claimed(self) -> set[str]:
        """Ids of the jobs that are being started by RQ's own methods."""
        return set(self._in_hand)

    @property
    def takes_several(self) -> bool:
        """Whether one call may take several jobs, and nobody is asked after each what comes next."""
        return self._plain and not self._own_dequeue and not self._reorders

    @property
    def _reorders(self) -> bool:
        worker = self._worker
        return worker._dequeue_strategy != DequeueStrategy.DEFAULT or (
            type(worker).reorder_queues is not BaseWorker.reorder_queues
        )

    def take(self, children: Mapping[str, Identity]) -> tuple[list[Assignment], bool]:
        """Take jobs off the queues.

        Args:
            children: the processes that will run them, by the ids that their executions are to have unless RQ's own
                methods start them.

        Returns:
            What was taken, and whether there may be more.

        Raises:
            Suspended: workers are to take none.
            RedisError: the store is away or takes no writes.
        """
        self._found = []
        if self._own_dequeue:
            return self._take_as_rq()
        worker = self._worker
        queues = worker._ordered_queues
        taken = worker.bookkeeper.start(queues, children) if self._plain else worker.bookkeeper.claim(queues)
        return self._assigned(taken, len(children))

    def start_of(self, children: Mapping[str, Identity]) -> Start:
        """Return the call by which `take` takes several jobs, for it to be sent with others; argument as there."""
        worker = self._worker
        return worker.bookkeeper.start_of(worker._ordered_queues, children)

    def taken(self, start: Start) -> tuple[list[Assignment], bool]:
        """Return what a call has taken that was sent with others, and that the store has not refused, as `take` does.

        Raises:
            Suspended: workers are to take none.
            RedisError: the store is away or takes no writes.
        """
        self._found = []
        return self._assigned(self._worker.bookkeeper.taken(start), len(start.children))

    def _assigned(self, taken: Taken, most: int) -> tuple[list[Assignment], bool]:
        self._heed(taken.paused)
        for found in taken.found:
            if isinstance(found, Unusable):
                self._set_aside(found)
            else:
                self._dispatch(found)
        # If fewer were there than might have been taken, all queues were empty, or cannot be used.
        more = sum(isinstance(found, Claim) for found in taken.found) == most
        return self._found, more

    def start_job(self, job: Job, queue: Queue) -> None:
        """Start a job by RQ's own methods; it is part of what `take` returns."""
        worker = self._worker
        claim = self._in_hand.get(job.id)
        if claim is None:
            claim = Claim(queue.key, job.id, '', raw_fields(job))
        execution = worker.prepare_execution(job)
        self._store_says(WorkerStatus.BUSY)
        worker.bookkeeper.release_claim(job.id)
        claim.at = execution.created_at.timestamp()
        self._assign(claim, queue, execution, prepared=False)

    def _uses_own_dequeue(self) -> bool:
        queue_class = self._worker.queue_class
        return any(
            getattr(queue_class, name).__func__ is not getattr(Queue, name).__func__
            for name in ('dequeue_any', 'lpop', 'lmove', '_fetch_dequeued_job')
        )

    def _take_as_rq(self) -> tuple[list[Assignment], bool]:
        worker = self._worker
        if self.look_for_pauses():
            raise Suspended
        queues = [queue for queue in worker._ordered_queues if queue.key not in self.paused]
        if not queues:
            return [], False
        try:
            result: tuple[Job, Queue] | None = worker.queue_class.dequeue_any(
                queues,
                None,
                connection=worker.connection,
                job_class=worker.job_class,
                serializer=worker.serializer,
                death_penalty_class=worker.death_penalty_class,
            )
        except DequeueTimeout:
            return [], False
        except Exception as error:
            if is_about_the_store(error) or not self._fail_unreadable_ones():
                raise
            return [], True
        if result is None:
            return [], False
        job, queue = result
        worker.reorder_queues(reference_queue=queue)
        self._log(queue, job.id, job.description or '')
        worker.execute_job(job, queue)
        return self._found, True

    def _fail_unreadable_ones(self) -> bool:
        """Fail what a queue class of the application moved to an intermediate queue and then could not read."""
        worker = self._worker
        failed = False
        for queue in worker.queues:
            key = IntermediateQueue.get_intermediate_queue_key(queue.key)
            for member in worker.connection.lrange(key, 0, -1):
                job_id = member.decode('utf-8', 'replace') if isinstance(member, bytes) else member
                try:
                    worker.job_class.fetch(job_id, connection=worker.connection, serializer=worker.serializer)
                except NoSuchJobError:
                    continue
                except Exception as error:
                    if is_about_the_store(error):
                        raise
                    fail_unreadable(self._site, job_id, queue.name, f'Job {job_id} cannot be read: {error}')
                    worker.connection.lrem(key, 1, job_id)
                    failed = True
        return failed

    def _set_aside(self, found: Unusable) -> None:
        site = self._site
        queue = site.queue_for(found.queue_key)
        if found.job_id:
            fail_unreadable(site, found.job_id, queue.name, f'Job {found.job_id} cannot be read: {found.error}')
            return
        if found.error not in self._told:
            self._told.add(found.error)
            site.log.error('queue %s cannot be used: %s; delete or rename that key', queue.name, found.error)
        list_aside(site.connection, found.error.partition(': ')[0], found.error)

    def _dispatch(self, claim: Claim) -> None:
        worker = self._worker
        queue = self._site.queue_for(claim.queue_key)
        if self._reorders:
            worker.reorder_queues(reference_queue=queue)
        self._log(queue, claim.job_id, claim.raw.get(b'description', b'').decode('utf-8', 'replace'))
        if claim.execution_id:
            self._store_says(WorkerStatus.BUSY)
            self._assign(claim, queue, claim.execution(self._site), prepared=True)
            return
        self._in_hand[claim.job_id] = claim
        try:
            worker.execute_job(claim.job(self._site, queue), queue)
        except UnreadableJob as fault:
            fail_unreadable(self._site, claim.job_id, queue.name, fault)
            worker.connection.lrem(IntermediateQueue.get_intermediate_queue_key(queue.key), 1, claim.job_id)
            worker.bookkeeper.release_claim(claim.job_id)
        finally:
            self._in_hand.pop(claim.job_id, None)

    def _log(self, queue: Queue, job_id: str, description: str) -> None:
        worker = self._worker
        if worker.log_job_description:
            worker.site.log.info('%s: %s (%s)', green(queue.name), blue(description), job_id)
        else:
            worker.site.log.info('%s: %s', green(queue.name), job_id)

    def _assign(self, claim: Claim, queue: Queue, execution: Execution, *, prepared: bool) -> None:
        worker = self._worker
        if claim.whole and b'data' not in claim.raw:
            # The job was deleted after it was taken.
            drop_execution(self._site, claim.job_id, queue.name, execution)
            return
        try:
            job = claim.sealed_job(self._site)
        except UnreadableJob as fault:
            fail_unreadable(self._site, claim.job_id, queue.name, fault, execution)
            return
        job.redis_server_version = worker.redis_server_version
        job.started_at = execution.created_at
        state = state_of(job) if prepared and claim.whole and self._site.touched is None else None
        worker.executions[execution.id] = execution
        task = Task(claim, execution.id, prepared, state)
        self._found.append(Assignment(claim, queue, execution, job, task))
