"""The ends that are not written down yet: each is written exactly once, in the supervisor or by a child."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import RedisError, TimeoutError
from rq.queue import Queue
from rq.utils import as_text

from rq_leveldb.unreadable import is_wrong_type, list_aside

from . import settlement
from .assignment import Assignment, Task
from .bookkeeping import Start
from .broken import fail_unreadable, set_aside_dependents
from .child import Child
from .ending import Ending, Verdict
from .line import Line
from .loop import Loop
from .nursery import Nursery
from .output import Capture
from .performing import PerformingWorker, Reported
from .script import Call
from .sealed import sealed_queue
from .trouble import NotWritten, is_about_the_store
from .usage import usage_of

__all__ = ['Settling']

_MOST_FAILURES = 5
# Seconds beyond the time-outs of the callbacks; exception handlers have no time-out.
_PATIENCE = 60.0


@dataclass
class _Open:
    assignment: Assignment
    ending: Ending
    capture: Capture | None = None
    wants_child: bool = False
    child: Child | None = None
    given_at: float = 0.0
    plainly: str = ''
    failures: int = 0
    call: Call | None = None
    asked: bool = False


def _reported(entry: _Open) -> Reported:
    assignment, ending = entry.assignment, entry.ending
    report = ending.report
    assert report is not None
    again = ending.again or report.unsure
    return Reported(assignment.job, assignment.execution, report, assignment.claim.raw, again)


def _doubt(entries: list[_Open]) -> None:
    """Note that these ends may have been written down."""
    for entry in entries:
        entry.ending.again = True


class Settling:
    """Writes down the ends of one worker's jobs.

    Args:
        worker: whose jobs.
        nursery: where children are had for ends that need the application's code.
        loop: where the store's answers are waited for.
        settled: called when an end is written, with the job and how it ended.
        next_jobs: returns the call that takes jobs for the children that are free; None if nothing is to be taken now.
        begin: called when such a call was answered.
        lost: called when one was not answered, or could not be sent, with what was wrong.
    """

    def __init__(
        self,
        worker: PerformingWorker,
        nursery: Nursery,
        loop: Loop,
        settled: Callable[[Assignment, Ending], None],
        next_jobs: Callable[[], Start | None],
        begin: Callable[[Start], None],
        lost: Callable[[Exception], None],
    ) -> None:
        self._worker = worker
        self._nursery = nursery
        self._loop = loop
        self._settled = settled
        self._next_jobs = next_jobs
        self._begin = begin
        self._lost = lost
        self._line = Line(worker.connection.connection_pool, loop, self._answer_lost)
        # What the store is being told of, and since when.
        self._asked: list[_Open] = []
        self._asked_at = 0.0
        # The ends of which it is told next: those that are ready to be sent, and those just heard of.
        self._ready: list[_Open] = []
        self._fresh: list[_Open] = []
        self._open: dict[str, _Open] = {}
        self._queues: dict[str, Queue] = {}

    def __bool__(self) -> bool:
        """Whether any end is not written down yet."""
        return bool(self._open)

    @property
    def composite_keys(self) -> set[str]:
        """The executions whose ends are not written down yet."""
        return set(self._open)

    @property
    def wants_children(self) -> int:
        """How many ends wait for a child."""
        return sum(entry.wants_child and entry.child is None for entry in self._open.values())

    def add(self, assignment: Assignment, ending: Ending, capture: Capture | None = None) -> None:
        """Write an end down, or keep it until that can be done.

        Args:
            assignment: the job.
            ending: how it ended.
            capture: what it printed.

        Raises:
            RedisError: the store is away, or takes no writes; the end is kept.
        """
        key = assignment.composite_key
        if key not in self._open:
            entry = self._open[key] = _Open(assignment, ending, capture)
            if self._is_plain_success(entry):
                # Others may have ended at the same moment, and are written in the same round trip.
                if not self._fresh:
                    self._loop.soon(self._write_successes)
                self._fresh.append(entry)
            else:
                self._attempt(entry)

    def _is_plain_success(self, entry: _Open) -> bool:
        assignment, ending = entry.assignment, entry.ending
        return (
            ending.verdict is Verdict.SUCCESS
            and entry.capture is None
            and not settlement.needs_application(self._worker, assignment, ending)
            and self._worker.is_simple(assignment.job)
        )

    def _write_successes(self) -> None:
        """Tell the store of the successes that there are, and take the next jobs; one such call is under way at a time.

        While the store works on it, the next ends are heard of and made ready here.
        """
        fresh, self._fresh = self._fresh, []
        for entry in fresh:
            entry.call = self._worker.success_of(_reported(entry))
        self._ready += fresh
        if self._line.waiting:
            return
        entries = [entry for entry in self._ready if entry.assignment.composite_key in self._open]
        self._ready = []
        # A free child gets its next job by the round trip that writes down how its former one ended.
        start = self._next_jobs() if entries else None
        together = start is not None or len(entries) > 1
        told: list[tuple[_Open, Call]] = []
        alone: list[_Open] = []
        for entry in entries:
            if together and entry.call is not None and not entry.ending.again:
                told.append((entry, entry.call))
            else:
                alone.append(entry)
        if told or start is not None:
            self._ask(told, start)
        self._attempt_each(alone)

    def _ask(self, told: list[tuple[_Open, Call]], start: Start | None) -> None:
        entries = self._asked = [entry for entry, _ in told]
        calls = [call for _, call in told]
        for entry in entries:
            entry.asked = True
        self._asked_at = time.monotonic()
        try:
            commands = self._worker.bookkeeper.commands(calls, start)
            self._line.ask(commands, partial(self._answered, calls, start))
        except RedisError as error:
            self._answer_lost(error)

    def _no_longer_asked(self) -> list[_Open]:
        asked, self._asked = self._asked, []
        for entry in asked:
            entry.asked = False
        return asked

    def _answered(self, calls: list[Call], start: Start | None, replies: list[Any]) -> None:
        asked = self._no_longer_asked()
        if self._ready or self._fresh:
            # First, so that the store works on these while the answer is dealt with.
            self._loop.call(self._write_successes)
        successes = [(entry.assignment.job, call) for entry, call in zip(asked, calls, strict=True)]
        try:
            outcomes = self._worker.bookkeeper.outcomes(successes, start, replies)
        except Exception as error:
            _doubt(asked)
            self._lost(error)
            return
        if start is not None:
            self._begin(start)
        left = []
        for entry, outcome in zip(asked, outcomes, strict=True):
            if outcome is True:
                self._worker.log_success(entry.assignment.job)
                self._done(entry)
            else:
                entry.ending.again = isinstance(outcome, Exception)
                left.append(entry)
        self._attempt_each(left)

    def _answer_lost(self, error: Exception) -> None:
        _doubt(self._no_longer_asked())
        self._lost(error)

    def _attempt_each(self, entries: list[_Open]) -> None:
        for entry in entries:
            self._attempt(entry)

    def hear(self) -> None:
        """Wait for what the store is being told of, so that no job is taken and not yet known here."""
        while self._line.waiting:
            self._loop.call(self._line.hear)

    def abandon(self) -> None:
        """Close in a forked child what is the parent's."""
        self._line.abandon()

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def attempt(self) -> None:
        """Write down what can be.

        Raises:
            RedisError: the store is away, or takes no writes.
        """
        for entry in list(self._open.values()):
            if entry.child is None and not entry.wants_child and not entry.asked:
                self._attempt(entry)

    def hand_out(self) -> None:
        """Give the ends that need the application's code to waiting children."""
        waiting = [entry for entry in self._open.values() if entry.wants_child and entry.child is None]
        for entry, child in zip(waiting, self._nursery.waiting(), strict=False):
            assignment = entry.assignment
            task = Task(assignment.claim, assignment.execution.id, True, None, entry.ending)
            if child.give(assignment, task, entry.ending, self._worker.job_monitoring_interval):
                entry.child, entry.given_at = child, time.monotonic()
        missing = self.wants_children
        if missing:
            self._nursery.order(missing, beyond=missing)

    def child_ended(self, assignment: Assignment, said: str, exit_words: str) -> None:
        """Handle the end of a child that handled the end of another's job.

        Args:
            assignment: the job whose end it handled.
            said: the kind of its report; '' if there is none.
            exit_words: how it ended.

        Raises:
            RedisError: the store is away, or takes no writes; the end is kept.
        """
        entry = self._open.get(assignment.composite_key)
        if entry is None:
            return
        entry.child = None
        entry.wants_child = False
        entry.ending.again = True
        if said == 'written':
            self._done(entry)
            return
        if said == 'away' and entry.failures < _MOST_FAILURES:
            # Another child does it when the store is back. What fails while the store is well is not the store's fault.
            entry.wants_child = True
            self._worker.heart.touch()
            entry.failures += 1
            return
        entry.plainly = f'The callbacks did not finish: {exit_words}'
        self._attempt(entry)

    def check(self) -> None:
        """Kill children that take too long over an end, and hang up on a store that takes too long to answer."""
        patience = self._worker.connection.connection_pool.connection_kwargs.get('socket_timeout')
        if patience is not None and self._line.waiting and time.monotonic() - self._asked_at > patience:
            self._line.close()
            self._answer_lost(TimeoutError('Timeout reading from socket'))
        for entry in self._open.values():
            job = entry.assignment.job
            limit = _PATIENCE + max(job.failure_callback_timeout, job.stopped_callback_timeout, 0)
            if entry.child is not None and time.monotonic() - entry.given_at > limit:
                entry.child.kill(signal.SIGKILL)

    def give_up_on_children(self) -> None:
        """Write down without the application's code what waits for it: there is no more time."""
        for entry in list(self._open.values()):
            if entry.child is not None:
                entry.child.kill(signal.SIGKILL)
            if entry.wants_child and entry.child is None:
                entry.wants_child = False
                entry.plainly = 'The callbacks were not called: the worker was stopped'
                self._attempt(entry)

    def _attempt(self, entry: _Open) -> None:
        try:
            self._save_output(entry)
            if not self._write(entry):
                return
            # Only now is it known how long the job is kept.
            self._save_output(entry)
        except Exception as error:
            if is_about_the_store(error) and not self._is_hopeless(entry, error):
                entry.ending.again = True
                raise
            self._worker.site.log.exception('the end of job %s could not be written as usual', entry.assignment.job_id)
            self._fail(entry, error)
        self._done(entry)

    def _is_hopeless(self, entry: _Open, error: Exception) -> bool:
        """Say whether it is not the store that is to blame: it takes writes, and this one fails again and again."""
        if not isinstance(error, NotWritten):
            return False
        self._worker.heart.touch()
        entry.failures += 1
        return entry.failures >= _MOST_FAILURES

    def _write(self, entry: _Open) -> bool:
        """Write an end down; returns False if a child has to do it."""
        assignment, ending = entry.assignment, entry.ending
        if ending.verdict is Verdict.WRITTEN:
            return True
        if not entry.plainly and settlement.needs_application(self._worker, assignment, ending):
            entry.wants_child = True
            return False
        try:
            self._settle(entry)
        except Exception as error:
            if is_about_the_store(error):
                raise
            # The worker's own record may hold another type of value; then it is written again.
            mended = is_wrong_type(error) and self._worker.heart.beat()
            if not set_aside_dependents(self._worker.site, assignment.job) and not mended:
                raise
            ending.again = True
            self._settle(entry)
        return True

    def _settle(self, entry: _Open) -> None:
        worker = self._worker
        assignment, ending = entry.assignment, entry.ending
        if not assignment.claim.whole:
            # Only a child could have handled it: the supervisor does not have all of the job's fields.
            raise ValueError(f'{ending.reason or ending.exit}. {entry.plainly}')
        name = assignment.queue.name
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = sealed_queue(worker.site, name)
        worker.note_usage(usage_of(assignment.execution, ending), assignment.claim.raw)
        try:
            arguments = (worker, ending, assignment.job, queue, assignment.execution)
            if entry.plainly:
                settlement.settle_plainly(*arguments, entry.plainly)
            else:
                settlement.settle(*arguments)
        finally:
            worker.note_usage(None, {})

    def _fail(self, entry: _Open, error: Exception) -> None:
        """Fail a job whose end RQ's methods cannot write."""
        worker, assignment = self._worker, entry.assignment
        report = entry.ending.report
        told = report.text if report is not None and report.text else entry.ending.reason
        reason = f'{told}\nThe end of the job could not be written as usual: {type(error).__name__}: {error}'
        try:
            fail_unreadable(worker.site, assignment.job_id, assignment.queue.name, reason.strip(), assignment.execution)
        except Exception as second:
            if is_about_the_store(second):
                raise
            list_aside(worker.connection, worker.job_class.key_for(assignment.job_id), f'{reason}; {second}')

    def _save_output(self, entry: _Open) -> None:
        if entry.capture is not None:
            job_id = entry.assignment.job_id
            with contextlib.suppress(ValueError):
                entry.capture.finish(self._worker.connection, job_id, as_text(self._worker.job_class.key_for(job_id)))

    def _done(self, entry: _Open) -> None:
        self._open.pop(entry.assignment.composite_key, None)
        if entry.capture is not None:
            entry.capture.close()
        self._settled(entry.assignment, entry.ending)
