"""RQ's worker as far as one job goes: what its methods do between the start of a job and the record of its end.

They are called by RQ's `perform_job` in the job's own process, a child, which leaves a plain success to the
supervisor; and in the supervisor, or in another child, when an end is written down that the job's own process left.
Outside of `work` they do what RQ's do.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import rq.worker
from redis.client import Pipeline
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.job_lifecycle import format_exc_info
from rq.queue import Queue
from rq.registry import StartedJobRegistry
from rq.timeouts import BaseTimeoutException
from rq.utils import now, utcparse

from rq_leveldb.records import ENDED_KEY

from . import limits, signals
from .bookkeeping import Bookkeeper, mark_started
from .broken import set_aside_dependents
from .claim import as_moment
from .executions import is_left_to_others
from .heartbeat import Heartbeat
from .history import NOTE, Outcome, entry, function_of
from .mailbox import Report
from .ready import enqueue_ready
from .record import Record
from .script import Call
from .sealed import Sealed, SealedSerializer
from .site import Site
from .status_line import StatusLine
from .trouble import is_about_the_store
from .untouched import first_touched
from .usage import usage_fields

__all__ = ['PerformingWorker', 'Reported', 'name_function']


class Reported(NamedTuple):
    """A success that a child told of.

    Args:
        job: the job as it was when it was taken.
        execution: the execution that ended.
        report: what the child told.
        raw: the job's fields as they were when it began.
        again: it may have been written already.
    """

    job: Job
    execution: Execution
    report: Report
    raw: dict[bytes, bytes]
    again: bool


def name_function(job: Job, report: Report | None) -> None:
    """Tell the job's object what its child has read: which function that was is counted."""
    if report is not None and report.function:
        job._func_name = report.function


class PerformingWorker(rq.worker.Worker):
    """What a job meets of a worker: in its own process, and where its end is written down.

    Attributes:
        status_line: what shows a person how it goes; None for log lines only.
        record: what is written about the job of this process; None if it is no child that runs one.
    """

    status_line: StatusLine | None = None
    _site: Site | None = None
    record: Record | None = None
    # What the execution used whose end is being written, and the job's fields as they were when it started.
    _used: tuple[dict[str, Any], dict[bytes, bytes]] | None = None
    # How the execution ended whose end is being written by RQ's methods.
    _outcome: tuple[Execution, Outcome] | None = None

    def settle_in(self, site: Site, *, dry: bool = False) -> None:
        """Use a site until `work` ends, in this process and in those that it forks.

        Args:
            site: what the worker's parts share.
            dry: go through the motions, and leave the store alone.
        """
        self._site = site
        self.bookkeeper = Bookkeeper(site, dry=dry)
        self.heart = Heartbeat(self)

    @property
    def site(self) -> Site:
        """What the worker's parts share."""
        assert self._site is not None
        return self._site

    def look_for_changes(self) -> None:
        """Find out which methods have been overridden or replaced, so that no short cut bypasses them."""
        touched = self.site.touched = first_touched(self)
        if touched is not None:
            self.site.log.debug("%s is not RQ's own; jobs end by RQ's methods", touched)

    def become_child(self, *executions: Execution, record: Record | None = None) -> None:
        """Become the child that has only these executions.

        Args:
            executions: that of the job which it runs; none if it handles the end of another's.
            record: what it writes about that job.
        """
        self.record = record
        self.executions = {execution.id: execution for execution in executions}
        self._executions = []

    # Heartbeats, in the supervisor as well

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return how many seconds an execution is kept without a heartbeat."""
        if self._site is None:
            return int(super().get_heartbeat_ttl(job, working_time))
        # `working_time` comes from a clock that may have been set; a minute more does no harm.
        return max(self._site.shortest_lease, int(super().get_heartbeat_ttl(job)))

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Write that this worker lives; while `work` runs, only if its record exists."""
        if self._site is None:
            super().heartbeat(timeout, pipeline)
        else:
            self.heart.touch(pipeline)

    # The job, in its own process

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run the job in this child.

        Raises:
            SystemExit: with code 1, if something outside of the job's own handling raised.
        """
        if self.record is None:
            super().main_work_horse(job, queue)
            return
        # Unlike RQ's, this does not seed `random`: Python does so after every fork.
        if self.site.touched is None:
            signals.reset_in_child()
        else:
            self.setup_work_horse_signals()
        self._is_horse = True
        try:
            self.record.began(job)
            self.perform_job(job, queue, self.record.execution)
        except BaseException as error:
            if not isinstance(error, SystemExit):
                self.site.log.debug('child failed', exc_info=True)
            raise SystemExit(1) from error

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Mark the job as started, unless the store says so already."""
        if self.record is None:
            super().prepare_job_execution(job, remove_from_intermediate_queue)
        elif not self.record.task.prepared:
            # The job went through the intermediate queue, however many queues there are.
            super().prepare_job_execution(job, remove_from_intermediate_queue=True)
        elif self.site.touched is not None:
            super().prepare_job_execution(job, remove_from_intermediate_queue)
        else:
            mark_started(job, self.name)
            self.procline(f'Processing {job.func_name} from {job.origin} since {time.time()}')

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:
        """Note when the job ended."""
        if self.record is None:
            super().handle_execution_ended(job, queue, heartbeat_ttl)
            return
        self.record.end_if_copied()
        if job._status != JobStatus.FAILED and not job._success_callback_name and self.site.touched is None:
            # The success itself is written next, and contains this time.
            job.ended_at = job.last_heartbeat = now()
            return
        try:
            super().handle_execution_ended(job, queue, heartbeat_ttl)
        except Exception as error:
            # The end of the job is written next, and does not depend on this.
            self.site.log.debug('no heartbeat at the end of job %s: %s', job.id, error)

    def _finalize_failure(self, job: Job, queue: Queue, execution: Execution, exc_info: limits.ExcInfo) -> None:
        record = self.record
        if record is not None:
            record.end_if_copied()
            if record.memory_limit is not None:
                exc_info = limits.explain_memory(exc_info, record.memory_limit)
            error = exc_info[1]
            record.last = isinstance(error, BaseTimeoutException | MemoryError) or not isinstance(error, Exception)
            record.raised(job, format_exc_info(exc_info))
        super()._finalize_failure(job, queue, execution, exc_info)

    # The record of its end

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Write down that the job succeeded, or leave that to the supervisor."""
        record = self.record
        handle = super().handle_job_success
        self._outcome = (execution, Outcome.FINISHED)
        if record is None:
            handle(job, queue, started_job_registry, execution)
            return
        if self.is_simple(job) and record.leaves_success(job):
            self.executions.pop(execution.id, None)
            return

        def write() -> None:
            if self._write_in_one_step(job, execution, again=False):
                self.executions.pop(execution.id, None)
                return
            if is_left_to_others(self.site, job, execution):
                return
            try:
                handle(job, queue, started_job_registry, execution)
            except Exception as error:
                if is_about_the_store(error) or not set_aside_dependents(self.site, job):
                    raise
                handle(job, queue, started_job_registry, execution)

        record.success(job, write)

    def handle_job_retry(
        self, job: Job, queue: Queue, retry: Retry, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Write down that the job returned a Retry, or leave that to the supervisor."""
        handle = super().handle_job_retry
        if self.record is None:
            handle(job, queue, retry, started_job_registry, execution)
            return
        self.record.retry(job, retry, lambda: handle(job, queue, retry, started_job_registry, execution))

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: StartedJobRegistry | None = None,
        exc_string: str = '',
        execution: Execution | None = None,
    ) -> None:
        """Write down that the job failed, or leave that to the supervisor."""
        record = self.record
        handle = super().handle_job_failure
        if execution is not None:
            is_retried = job.should_retry and self._stopped_job_id != job.id
            self._outcome = (execution, Outcome.RETRIED if is_retried else Outcome.FAILED)
        if record is None or execution is None:
            handle(job, queue, started_job_registry, exc_string, execution)
            return
        record.failure(job, exc_string, lambda: handle(job, queue, started_job_registry, exc_string, execution))

    def write_reported_success(self, job: Job, queue: Queue, execution: Execution, report: Report, again: bool) -> None:
        """Write down a success that a child told of.

        Args:
            job: the job as it was when it was taken.
            queue: its queue.
            execution: the execution that ended.
            report: what the child told.
            again: it may have been written already.
        """
        self._take_over(job, report)
        if self._write_in_one_step(job, execution, again=again):
            return
        if again and not self.connection.exists(execution.key):
            # The transaction was carried out and its reply lost. What follows it must still be done.
            enqueue_ready(self.site)
            self._release_slot_safely(job)
            return
        if is_left_to_others(self.site, job, execution):
            return
        self.handle_job_success(job, queue, queue.started_job_registry, execution)
        # The job has dependents, and RQ may not have enqueued all of them.
        enqueue_ready(self.site)

    def success_of(self, reported: Reported) -> Call | None:
        """Return what a script is called with that writes down what a child told of; None if it is too much for that.

        Args:
            reported: the success, of a job for which `is_simple` is true.
        """
        job, execution, report, raw, again = reported
        name_function(job, report)
        self._take_over(job, report)
        self.note_usage(report.usage, raw)
        call = self._success_of(job, execution, again=again)
        self.note_usage(None, {})
        return call

    def _take_over(self, job: Job, report: Report) -> None:
        """Bring RQ's object to what a child told of its job's success."""
        job.worker_name = self.name
        job.started_at = as_moment(report.started_at)
        job.ended_at = job.last_heartbeat = as_moment(report.ended_at)
        if report.result is None:
            job._result = None
        else:
            # Deserialized only in a child, where the application's code receives it.
            sealed = isinstance(job.serializer, SealedSerializer)
            job._result = Sealed(report.result) if sealed else job.serializer.loads(report.result)

    def is_simple(self, job: Job) -> bool:
        """Say whether nothing but the job itself changes when it succeeds."""
        return (
            not job.repeats_left
            and not job.has_rate_limit
            and not job.group_id
            and job.get_result_ttl(self.default_result_ttl) != 0
        )

    def _write_in_one_step(self, job: Job, execution: Execution, *, again: bool) -> bool:
        """Write a success by a script, where RQ's methods would do nothing else; returns whether it is written."""
        if self.site.touched is not None or not self.is_simple(job):
            return False
        call = self._success_of(job, execution, again=again)
        if call is None or not self.bookkeeper.succeed(job, call):
            return False
        self.log_success(job)
        return True

    def _success_of(self, job: Job, execution: Execution, *, again: bool) -> Call | None:
        ttl = job.get_result_ttl(self.default_result_ttl)
        return self.bookkeeper.success_of(job, execution, ttl, self._usage_fields(), repetition=again)

    def log_success(self, job: Job) -> None:
        """Log that a job succeeded, as RQ does."""
        assert job.started_at is not None
        assert job.ended_at is not None
        shown = f'{job.description} job' if self.log_job_description else f'job {job.id}'
        taken = job.ended_at - job.started_at
        self.log.info('Successfully completed %s in %ss on worker %s', shown, taken, self.name)

    # What it used

    def note_usage(self, usage: dict[str, Any] | None, raw: dict[bytes, bytes]) -> None:
        """Note what an execution has used whose end is written down next.

        Args:
            usage: what it used; None to forget that of the one before.
            raw: the job's fields as they were when it began.
        """
        self._used = None if usage is None else (usage, raw)

    def cleanup_execution(self, job: Job, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """Forget the execution, note that it has ended, and write down with the job what it used."""
        super().cleanup_execution(job, pipeline, execution)
        used = self._usage()
        if self._site is not None and execution is not None:
            self._note_end(job, pipeline, execution, {} if used is None else used[1])
        if used is None or execution is None or used[0].get('execution') != execution.id:
            return
        if job._status == JobStatus.FINISHED and job.get_result_ttl(self.default_result_ttl) == 0:
            # The job is deleted in this same pipeline.
            return
        fields: dict[Any, Any] = usage_fields(*used)
        pipeline.hset(job.key, mapping=fields)

    def _note_end(self, job: Job, pipeline: Pipeline, execution: Execution, raw: dict[bytes, bytes]) -> None:
        """Put it on the list of what has ended, unless it never began and the job goes back to its queue."""
        if job.ended_at is None or job.ended_at < execution.created_at:
            return
        if self._outcome is not None and self._outcome[0] is execution:
            # The job's status says less: one that is to be repeated is already queued again.
            outcome = self._outcome[1]
        elif job._status in (JobStatus.FAILED, JobStatus.STOPPED):
            outcome = Outcome.FAILED
        else:
            outcome = Outcome.FINISHED if job._status == JobStatus.FINISHED else Outcome.RETRIED
        try:
            enqueued_at = utcparse(raw[b'enqueued_at'].decode())
        except (KeyError, ValueError):
            enqueued_at = None
        text = entry(job, execution, enqueued_at, outcome, function_of(job, self.site.serializer))
        pipeline.eval(NOTE, 1, ENDED_KEY, text)

    def _usage(self) -> tuple[dict[str, Any], dict[bytes, bytes]] | None:
        if self.record is not None:
            return self.record.usage(), self.record.task.claim.raw
        return self._used

    def _usage_fields(self) -> dict[str, str]:
        used = self._usage()
        return {} if used is None else usage_fields(*used)
