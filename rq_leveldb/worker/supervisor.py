"""The worker's one loop: it takes jobs off the queues, hands them to children, and sees how they end.

One thread, no blocking call but short round trips to the store. What it waits for:

==================  ===================================================================================
signal wake-ups     see `signals`
the forker          a child is there, or has ended: read how, settle its job if it did not do so itself
a child             its job is over, and it may run another: the same
the store           ends are written down, and the next jobs are here: see `settling`
queue watches       a queue is no longer empty
the command watch   RQ's commands and `children`
a capture's pipe    output of a job
timers              once a second, the duties: scheduled jobs, cron, dead workers, pauses, heartbeats, time-outs
==================  ===================================================================================

A job is taken off its queue only when a child is there, forked and waiting for it: so the fork is not between the
job's arrival and its start, and the store knows with the job which process has it.

Nothing that goes wrong ends the loop: it says so once, takes nothing for a while, and goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError, ResponseError
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.worker import WorkerStatus

from rq_leveldb import systemd
from rq_leveldb.process import Identity
from rq_leveldb.records import MAX_CHILDREN_FIELD

from . import signals
from .assignment import Assignment, Done
from .bookkeeping import Start, Suspended
from .child import Child
from .cron import WorkerCron
from .ended import EndedChildren
from .ending import Ending, Verdict
from .history import History
from .intake import Intake
from .loop import Loop
from .lost import return_claims, return_executions
from .maintenance import Maintenance
from .nursery import ImportFailed, Nursery
from .performing import PerformingWorker
from .recess import Recess
from .recovery import Recovery
from .routine import Routine
from .services import Service, Services
from .settling import Settling
from .stopping import Stopping
from .tally import Tally
from .template import Template
from .watch import CommandWatch, QueueWatch

__all__ = ['Supervisor']

_TICK = 1.0
_RECOVERY = 0.5
# Children that are kept while there is nothing to do; each costs memory.
_SPARE = 4


def _identities(children: dict[str, Child]) -> dict[str, Identity]:
    return {execution_id: child.identity for execution_id, child in children.items()}


@dataclass(frozen=True)
class _Until:
    """When to stop without being told to; as for RQ's `work`."""

    burst: bool = False
    max_jobs: int | None = None
    max_idle_time: int | None = None


class Supervisor:
    """Runs the loop of one worker; to be used as a context.

    Args:
        worker: whose jobs are run, and whose methods are called.
        services: what is kept alive beside it.
        state_is_stored: called with the worker's state when it was written down together with something else.
    """

    def __init__(
        self, worker: PerformingWorker, services: Sequence[Service], state_is_stored: Callable[[str], None]
    ) -> None:
        self._worker = worker
        self._site = site = worker.site
        self._loop = loop = Loop(lambda error: self._recess.bear(error))
        self._queues = QueueWatch(
            site.connection, loop, self._look_again, lambda error: self._recess.store_lost(error), self._is_no_list
        )
        self._recess = Recess(site, loop, self._is_unsure, self._queues.close, self._resume)
        self._commands: CommandWatch | None = None
        self._nursery = nursery = Nursery(
            site, Template(worker), loop, self._leave, self._job_done, self._child_ended, self._pause, self._give_up
        )
        self._settling = Settling(
            worker,
            nursery,
            loop,
            self._job_is_over,
            self._next_jobs,
            self._begin_next_jobs,
            self._next_jobs_lost,
        )
        self._stopping = Stopping(worker, loop, nursery, self._settling, self._queues.close, self._give_up)
        self._ended = EndedChildren(site, nursery, self._settling, self._stopping)
        self._services = Services(site, services, loop, lambda: self._stopping.has_begun)
        self._tally = Tally(site)
        self._history = History(site)
        self._intake = Intake(worker, state_is_stored)
        self.recovery = Recovery(site, self._settling.add)
        self.maintenance = Maintenance(worker, self.recovery)
        self.broken = False
        self._cron: WorkerCron | None = None
        # The children for which jobs are being taken, by the ids of the executions that they are to have.
        self._promised: dict[str, Child] = {}
        # Jobs that were taken and have no process.
        self._homeless: list[Assignment] = []
        # Whether to look at the queues, and whether there was more when they were looked at last.
        self._look = True
        self._work_seen = False
        # Whether a job may have been taken by a call that was not answered.
        self._unsure = False
        # Whether a job ended whose dependents may not have been enqueued.
        self._left_ready = False
        self._suspended = False
        self._until = _Until()
        self._started = 0
        self._idle_since = time.monotonic()
        self._error: BaseException | None = None

    def __enter__(self) -> Supervisor:
        # Before the worker is registered, so that a signal that comes then still has it unregistered.
        signals.catch_in_supervisor(self._loop, self._stopping.on_signal, self._services.reap)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queues.close()
        self._settling.close()
        self.stop_listening()
        self._loop.close()

    # What the worker asks

    @property
    def worked(self) -> bool:
        """Whether any job was run."""
        return bool(self._started)

    @property
    def running(self) -> list[Child]:
        """The children that run a job."""
        return self._nursery.running

    def process_of(self, execution: Execution) -> Identity | None:
        """Return which process runs an execution; None if none does."""
        child = self.find(execution.id)
        return child.identity if child is not None else None

    def find(self, execution_id: str) -> Child | None:
        """Return the child that runs an execution; None if none does."""
        for child in self.running:
            if child.assignment is not None and child.assignment.execution.id == execution_id:
                return child
        return None

    def load_cron(self, path: str, log_level: str | int) -> None:
        """Read cron definitions; arguments and exceptions as for `WorkerCron`."""
        self._cron = WorkerCron(self._site, path, log_level)

    def listen(self, channel: str) -> None:
        """Receive what is published for this worker."""
        self._commands = CommandWatch(
            self._site.connection,
            self._loop,
            channel,
            self._worker.handle_payload,
            self._recess.store_lost,
            self._command_failed,
        )
        self._commands.open()
        self._worker.pubsub = self._commands.pubsub

    def stop_listening(self) -> None:
        """Receive no more commands."""
        if self._commands is not None:
            self._commands.close()
            self._commands = None

    def set_max_children(self, number: int) -> None:
        """Change how many jobs may run at once; running jobs continue."""
        site = self._site
        site.log.info('at most %d children from now on', number)
        site.settings.max_children = number
        site.connection.hset(site.key, MAX_CHILDREN_FIELD, str(number))
        self._look = True
        self._nursery.retire_spare()

    def look_for_pauses(self) -> None:
        """Find out which queues are paused, and whether all workers are suspended.

        Raises:
            RedisError: the store is away.
        """
        before = self._intake.paused
        self._set_suspended(self._intake.look_for_pauses())
        if self._intake.paused != before:
            self._look = True

    def start_job(self, job: Job, queue: Queue) -> None:
        """Start a job that RQ's own methods took off a queue."""
        self._intake.start_job(job, queue)

    def end_children(self, reason: str) -> None:
        """End all running jobs, and settle them; argument as for `Stopping.end_children`."""
        self._stopping.end_children(reason)

    # The loop

    def run(self, burst: bool, max_jobs: int | None, max_idle_time: int | None) -> None:
        """Work until told to stop, or until there is no more to do; arguments as for RQ's `work`.

        Raises:
            SystemExit: it was told to stop at once.
            ImportFailed: what was to be imported before forking cannot be.
        """
        self._until = _Until(burst, max_jobs, max_idle_time)
        worker = self._worker
        self._begin()
        try:
            self._await_imports()
            systemd.notify('READY=1')
            while not self._finished():
                self._fill()
                self._raise_error()
                if self._finished():
                    break
                self._loop.run_once()
                self._raise_error()
        except StopRequested:
            pass
        except (SystemExit, KeyboardInterrupt, ImportFailed):
            raise
        except Exception:
            self.broken = True
            worker.site.log.error('found an unhandled exception, quitting...', exc_info=True)
        finally:
            systemd.notify('STOPPING=1')
            if self.running or self._settling:
                self._stopping.end_children('its worker stopped')

    def _begin(self) -> None:
        """Do what comes before the first job."""
        self._routine = Routine(
            self._worker,
            self._cron,
            self._nursery,
            self._settling,
            self._services,
            self._tally,
            self._history,
            self.recovery,
            self._stopping,
            self._take_back_what_was_lost,
            self.look_for_pauses,
            self._look_again,
        )
        self._loop.every(_TICK, self._tick)
        self._loop.every(_RECOVERY, self._recover)
        status_line = self._worker.status_line
        if status_line is not None:
            self._loop.every(
                status_line.interval,
                lambda: status_line.show(self._site, len(self.running), self._site.settings.max_children),
            )
        self._bravely(self.look_for_pauses)
        # The first children are forked while RQ's maintenance runs, if they are likely to be needed.
        self._bravely(self._order_first)
        self._bravely(self._routine.maintain)
        self._services.start()

    def _bravely(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._recess.bear(error)

    def _order_first(self) -> None:
        if not self._until.burst or self._jobs_wait():
            self._nursery.order(min(self._capacity(), _SPARE))

    def _await_imports(self) -> None:
        """Wait until the application is imported where it should be: without it nothing can run."""
        while self._site.settings.imports_anything and not self._nursery.is_ready and not self._stopping.has_begun:
            self._raise_error()
            if not self._recess.is_on:
                self._nursery.order(1, beyond=1)
            self._loop.run_once(0.1)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _finished(self) -> bool:
        if self.running or self._settling or self._homeless:
            return False
        worker = self._worker
        if worker._stop_requested:
            worker.site.log.info('stopping on request')
            return True
        if self._until.max_jobs is not None and self._started >= self._until.max_jobs:
            worker.site.log.info('finished executing %d jobs, quitting', self._started)
            return True
        if self._until.burst and not self._look and (self._suspended or not self._more_is_ready()):
            worker.site.log.info('done, quitting')
            return True
        idle = time.monotonic() - self._idle_since
        looks = self._look and self._site.settings.max_children > 0
        if self._until.max_idle_time is not None and not looks and idle >= self._until.max_idle_time:
            worker.site.log.info('idle for %d seconds, quitting', self._until.max_idle_time)
            return True
        return False

    def _more_is_ready(self) -> bool:
        """Enqueue the dependents that RQ has left in ready registries; returns whether there may be work now."""
        self._bravely(self._enqueue_ready)
        return self._look

    def _enqueue_ready(self) -> None:
        self._routine.enqueue_ready()
        self._left_ready = False

    def _capacity(self) -> int:
        if self._stopping.has_begun or self._suspended or self._recess.is_on:
            return 0
        free = self._site.settings.max_children - len(self.running) - len(self._homeless)
        if self._until.max_jobs is not None:
            free = min(free, self._until.max_jobs - self._started)
        return max(0, free)

    def _fill(self) -> None:
        if self._promised:
            # What the children are there for is on its way.
            return
        try:
            if not self._recess.is_on:
                self._settling.hand_out()
                if self._left_ready:
                    self._enqueue_ready()
            while self._homeless and (waiting := self._nursery.waiting()):
                self._begin_job(waiting[0], self._homeless.pop(0))
            while self._look and self._capacity():
                if not self._take():
                    break
            if self._homeless:
                self._nursery.order(len(self._homeless))
            if self._look or self._suspended:
                return
            if not self.running:
                self._worker.set_state(WorkerStatus.IDLE)
            if not self._until.burst and self._capacity():
                self._nursery.order(min(self._capacity(), _SPARE))
                self._queues.arm(self._open_queues(), self._worker.dequeue_timeout)
        except Suspended:
            self._set_suspended(True)
        except BaseException as error:
            self._recess.bear(error)

    def _take(self) -> bool:
        """Take jobs for the children that wait, and start them; returns whether to go on at once."""
        waiting = self._nursery.waiting()
        if not waiting:
            if not self._work_seen and not self._jobs_wait():
                self._look = False
            else:
                self._nursery.order(self._capacity())
            return False
        self._work_seen = False
        number = min(len(waiting), self._capacity()) if self._intake.takes_several else 1
        offered = {uuid4().hex: child for child in waiting[:number]}
        return self._begin_jobs(offered, *self._intake.take(_identities(offered)))

    def _begin_jobs(self, offered: dict[str, Child], taken: list[Assignment], more: bool) -> bool:
        """Start what was taken.

        Args:
            offered: the children that are to have it, by the ids of executions.
            taken: the jobs.
            more: whether there may be more.

        Returns:
            Whether there may be more.
        """
        if not more:
            self._look = False
        self._work_seen = more
        for assignment in taken:
            self._started += 1
            child = offered.get(assignment.execution.id)
            if child is None or child.busy:
                # One that RQ's own methods have started goes to any that waits.
                child = next(iter(self._free_children()), None)
            if child is not None:
                self._begin_job(child, assignment)
            else:
                self._homeless.append(assignment)
        return more

    def _free_children(self) -> list[Child]:
        """Return the children that wait and have no job promised."""
        promised = {child.pid for child in self._promised.values()}
        return [child for child in self._nursery.waiting() if child.pid not in promised]

    def _next_jobs(self) -> Start | None:
        """Return the call that takes jobs for the children that wait, unless something else comes before."""
        if not self._look or self._homeless or self._settling.wants_children or not self._intake.takes_several:
            return None
        number = max(0, self._capacity() - len(self._promised))
        offered = {uuid4().hex: child for child in self._free_children()[:number]}
        self._promised |= offered
        return self._intake.start_of(_identities(offered)) if offered else None

    def _begin_next_jobs(self, start: Start) -> None:
        """Start what such a call has taken."""
        offered = {name: child for name in start.children if (child := self._promised.pop(name, None)) is not None}
        if isinstance(start.reply, ResponseError):
            # The next look takes one by one what needs it, or says what is wrong.
            return
        try:
            self._begin_jobs(offered, *self._intake.taken(start))
        except Suspended:
            self._set_suspended(True)
        except BaseException as error:
            self._recess.bear(error)

    def _next_jobs_lost(self, error: Exception) -> None:
        """Survive that such a call was not answered."""
        self._promised.clear()
        self._recess.bear(error)

    def _open_queues(self) -> list[str]:
        """Return the keys of the queues that are not paused."""
        return [queue.key for queue in self._site.queues if queue.key not in self._intake.paused]

    def _jobs_wait(self) -> bool:
        """Say whether there are jobs in queues that are not paused."""
        keys = self._open_queues()
        return bool(keys and self._site.connection.exists(*keys))

    def _begin_job(self, child: Child, assignment: Assignment) -> None:
        if not child.give(assignment, assignment.task, None, self._site.job_monitoring_interval):
            # The child was killed while it waited. Its end will be noticed, but not as the end of this job.
            self._homeless.append(assignment)

    # Children

    def _leave(self) -> None:
        """Close in the forker what belongs to the supervisor."""
        self._loop.abandon()
        self._queues.abandon()
        self._settling.abandon()
        if self._commands is not None:
            self._commands.abandon()
        self._services.leave()
        pool: Any = self._site.connection.connection_pool
        for connection in pool._available_connections:
            if connection._sock is not None:
                connection._sock.close()

    def _job_done(self, child: Child, done: Done) -> None:
        self._ended.job_done(child, done)

    def _child_ended(self, child: Child, status: int, values: tuple[Any, ...]) -> None:
        if self._look and self._work_seen and not self._stopping.has_begun:
            # The forker forks the next child while the end of this job is written here.
            self._bravely(lambda: self._nursery.order(self._capacity()))
        self._ended.add(child, status, values)

    def _job_is_over(self, assignment: Assignment, ending: Ending) -> None:
        self._worker.executions.pop(assignment.execution.id, None)
        enqueued_at = assignment.claim.raw.get(b'enqueued_at')
        self._tally.ended(assignment.queue.name, enqueued_at, assignment.claim.at, ending.seconds)
        self._idle_since = time.monotonic()
        # RQ's methods have moved its dependents, and may not have enqueued all of them.
        self._left_ready = self._left_ready or ending.verdict is not Verdict.SUCCESS
        if self._worker.status_line is not None:
            self._worker.status_line.ended(ending.report is not None)
        # In a burst, the job may have enqueued others; otherwise the watched queues report them.
        if self._until.burst or not self._queues.armed:
            self._look = True

    # Once in a while

    def _tick(self) -> None:
        self._routine.check_children()
        if not self._recess.is_on:
            self._routine.run()

    def _recover(self) -> None:
        if not self._recess.is_on:
            self._routine.recover()

    def _set_suspended(self, suspended: bool) -> None:
        if suspended == self._suspended:
            return
        worker = self._worker
        self._suspended = suspended
        if not suspended:
            self._look = True
            worker.set_state(WorkerStatus.BUSY if self.running else WorkerStatus.IDLE)
            return
        if self._until.burst:
            worker.site.log.info('suspended in burst mode, exiting')
            worker.site.log.info('note: there could still be unfinished jobs on the queue')
            self._look = False
            return
        worker.site.log.info('suspended, run `rq resume` to resume')
        self._queues.close()
        worker.set_state(WorkerStatus.SUSPENDED)

    def _take_back_what_was_lost(self) -> None:
        if not self._unsure:
            return
        self._settling.hear()
        returned = return_claims(self._site, self._site.name, self._intake.claimed)
        known = {child.assignment.composite_key for child in self._nursery.busy if child.assignment is not None}
        known |= self._settling.composite_keys
        known |= {assignment.composite_key for assignment in self._homeless}
        if returned + return_executions(self._site, known):
            self._look = True
        self._unsure = False

    # When something happens

    def _look_again(self) -> None:
        self._look = True

    def _is_unsure(self) -> None:
        self._unsure = self._look = True

    def _is_no_list(self, key: str, kind: str) -> None:
        self._site.log.error('%s should be a queue but is of type %s; ignoring it until that is fixed', key, kind)

    def _command_failed(self, error: BaseException) -> None:
        self._site.log.error('a command failed', exc_info=error)

    def _pause(self, seconds: float) -> None:
        self._look = True
        self._recess.take(seconds)

    def _resume(self) -> None:
        connection, key = self._site.connection, self._site.key
        if connection.exists(key):
            # A write that changes nothing, since a store whose disk is full still answers reads.
            connection.hset(key, 'state', self._worker.get_state())
        self._routine.run()

    def _give_up(self, error: BaseException) -> None:
        # The first error says why.
        self._error = self._error or error

    # The end

    def before_teardown(self) -> None:
        """End the waiting children and the services."""
        self._stopping.begin()
        self._nursery.retire_waiting()
        with contextlib.suppress(RedisError):
            self._tally.flush(now=True)
            self._history.fold()
        self._services.ask_to_end()
        self._nursery.close()
        self._services.wait_for_the_end()
        if self._cron is not None:
            self._cron.stop()
