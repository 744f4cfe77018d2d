"""The worker's one loop: it takes jobs off the queues, hands them to children, and sees how they end.

One thread, no blocking call but short round trips to the store. What it waits for:

==================  ===================================================================================
signal wake-ups     SIGINT and SIGTERM: stop; a second one: stop at once
the forker          a child is there, or has ended: read how, settle its job if it did not do so itself
queue watches       a queue is no longer empty
the command watch   RQ's commands and `children`
a capture's pipe    output of a job
timers              once a second, the duties: scheduled jobs, cron, dead workers, suspension, heartbeats, time-outs
==================  ===================================================================================

A job is taken off its queue only when a child is there, forked and waiting for it: so the fork is not between the
job's arrival and its start, and the store knows with the job which process has it.

Nothing that goes wrong ends the loop: it says so once, takes nothing for a while, and goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from rq.exceptions import StopRequested
from rq.queue import Queue
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import WorkerStatus

from rq_leveldb import systemd

from . import child as child_process
from . import limits
from .assignment import Assignment, Task
from .backoff import Backoff
from .bookkeeping import Suspended
from .child import Child
from .duties import Duties
from .ending import STOPPED, Ending, Verdict, judge
from .intake import Intake
from .leftovers import Remains, end_leftovers
from .loop import Loop, Timer
from .nursery import ImportFailed, Nursery
from .ready import enqueue_ready
from .recovery import return_lost_claims
from .scheduler import InProcessScheduler
from .services import Services
from .settling import Settling
from .tally import Tally
from .trouble import is_lost, refuses
from .watch import CommandWatch, QueueWatch

if TYPE_CHECKING:
    from types import TracebackType

    from rq.executions import Execution
    from rq.job import Job

    from rq_leveldb.process import Identity

    from .worker import Worker

__all__ = ['Supervisor']

_TICK = 1.0
_HEARTBEAT = 5.0
_RECOVERY = 0.5
# Children that wait for a job cost memory; this many are kept when there is nothing to do.
_SPARE = 4
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
# A store that refuses is there to be asked again: its disk may have room at any moment.
_LONGEST_REFUSAL = 2.0
# RQ's rule: what does not heed its time-out is killed a minute after it.
_DEAF = 60.0
# Seconds after which a forker that says nothing of the children's end is killed, when they have to go.
_SILENCE = 2.0
# A thousand queues at rest are to cost less than half of a percent of a core.
_SMALL_SHARE = 0.0005
# Seconds that the application's code gets for the ends of jobs when everything has to stop at once.
_LAST_WORDS = 10.0

_HAS_PIDFD = hasattr(os, 'pidfd_open')


class Supervisor:
    """Runs the loop of one worker; to be used as a context.

    Args:
        worker: whose jobs are run, and whose methods are called.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._settings = worker.settings
        self._loop = Loop(self._in_trouble)
        self._queues = QueueWatch(
            worker.connection, self._loop, self._work_may_be_there, self._store_lost, self._queue_is_no_list
        )
        self._commands: CommandWatch | None = None
        self._nursery = Nursery(worker, self._loop, self._leave, self._child_ended, self._pause_for, self._give_up)
        self._services = Services(worker, self._loop, self._stops)
        self._settling = Settling(worker, self._nursery, self._hand_over, self._job_is_over)
        self._duties = Duties(worker.log, worker.name)
        self._tally = Tally(worker)
        self._oom = limits.OutOfMemoryWatch()
        self._pid = os.getpid()
        self._intake: Intake | None = None
        self._homeless: list[Assignment] = []
        self._work_seen = False
        self._burst = False
        self._max_jobs: int | None = None
        self._max_idle_time: int | None = None
        self._look = True
        self._suspended = False
        self._stopping = False
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, worker.exponential_backoff_factor)
        self._paused: Timer | None = None
        self._reconcile = False
        # Whether a job ended whose dependents may not have been enqueued.
        self._left_ready = False
        self._said = ''
        self._started = 0
        self._idle_since = time.monotonic()
        self._error: BaseException | None = None
        self._kill_at = 0.0

    def __enter__(self) -> Supervisor:
        # Whoever started the worker may have had them blocked, and a mask survives fork and exec.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))
        # Before the worker is registered: a signal that comes now must find somebody who unregisters it.
        self._loop.catch((signal.SIGINT, signal.SIGTERM), self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

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
        for child in self.running:
            if child.assignment is not None and child.assignment.execution.id == execution.id:
                return child.identity
        return None

    def listen(self, channel: str) -> None:
        """Receive what is published for this worker."""
        self._commands = CommandWatch(
            self._worker.connection,
            self._loop,
            channel,
            self._worker.handle_payload,
            self._store_lost,
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
        """Change how many jobs may run at once; what runs goes on."""
        self._worker.log.info('Worker %s: at most %d children from now on', self._worker.name, number)
        self._settings.max_children = number
        self._worker.connection.hset(self._worker.key, 'max_children', str(number))
        self._look = True
        self._nursery.retire_spare()

    def start_job(self, job: Job, queue: Queue) -> None:
        """Start a job that RQ's own methods took off a queue."""
        assert self._intake is not None
        self._intake.start_job(job, queue)

    def settle(self, assignment: Assignment, ending: Ending) -> None:
        """Write down the end of a job that another worker had.

        Raises:
            RedisError: the store is away, or takes no writes; it is written later.
        """
        self._settling.add(assignment, ending)

    def stop_child(self, child: Child) -> None:
        """Kill a child whose job somebody wants stopped."""
        child.stop_reason = STOPPED
        child.kill(signal.SIGKILL)

    def stop_children(self, reason: str) -> None:
        """Take all running jobs down, and settle them; returns when the processes are gone.

        Args:
            reason: what happened to the jobs, in words.
        """
        self._stopping = True
        self._nursery.expect_the_end()
        self._queues.close()
        for child in self.running:
            child.stop_reason = child.stop_reason or reason
            child.kill(signal.SIGTERM)
        # What the jobs started has as long to end as they have, whether or not they wait for it.
        self._kill_at = time.monotonic() + self._settings.kill_after
        kill = self._loop.after(self._settings.kill_after, self._kill_running)
        while self.running:
            self._loop.run_once(1.0)
        kill.cancel()
        self._let_settle()

    def _kill_running(self) -> None:
        for child in self.running:
            child.kill(signal.SIGKILL)
        # A forker that was stopped does not say that they have ended.
        self._loop.after(_SILENCE, self._kill_silent_forker)

    def _kill_silent_forker(self) -> None:
        if self._stopping and self.running:
            self._nursery.kill_forker()

    def _let_settle(self) -> None:
        """Wait for the children that handle the ends of jobs, for a while."""
        end = time.monotonic() + _LAST_WORDS
        while self._settling.wants_children or self._nursery.busy:
            if time.monotonic() > end:
                break
            self._settling.hand_out()
            self._loop.run_once(0.1)
        with contextlib.suppress(RedisError):
            self._settling.give_up_on_children()
            self._settling.attempt()

    # The loop

    def run(self, burst: bool, max_jobs: int | None, max_idle_time: int | None) -> None:
        """Work until told to stop, or until there is no more to do; arguments as for RQ's `work`.

        Raises:
            SystemExit: it was told to stop at once.
            ImportFailed: what was to be imported before forking cannot be.
        """
        self._burst, self._max_jobs, self._max_idle_time = burst, max_jobs, max_idle_time
        worker = self._worker
        if not _HAS_PIDFD:
            self._loop.catch((signal.SIGCHLD,), lambda number: self._services.reap())
        self._intake = Intake(worker)
        self._take_on_duties()
        self._order_first()
        self._begin()
        try:
            self._await_imports()
            systemd.notify('READY=1')
            while not self._finished():
                self._fill()
                if self._error is not None:
                    raise self._error
                if self._finished():
                    break
                self._loop.run_once()
                if self._error is not None:
                    raise self._error
        except StopRequested:
            pass
        except (SystemExit, KeyboardInterrupt, ImportFailed):
            raise
        except Exception:
            worker.broken = True
            worker.log.error('Worker %s: found an unhandled exception, quitting...', worker.name, exc_info=True)
        finally:
            systemd.notify('STOPPING=1')
            if self.running or self._settling:
                self.stop_children('its worker stopped')

    def _take_on_duties(self) -> None:
        """Say what is to be done once in a while, in this order."""
        worker = self._worker
        duties = self._duties
        duties.add('writing down ends of jobs', 0.0, self._settling.attempt)
        duties.add('taking back lost jobs', 0.0, self._take_back_what_was_lost)
        duties.add('looking for a suspension', 0.0, self._look_for_suspension)
        duties.add('scheduling jobs', 0.0, self._step_scheduler, _SMALL_SHARE)
        duties.add('running cron', 0.0, self._step_cron)
        own_queues = [queue.name for queue in worker.queues]
        duties.add('enqueueing dependents', 0.0, lambda: self._enqueue_ready(own_queues), _SMALL_SHARE)
        if self._settings.capture_output:
            duties.add('saving output', 0.0, self._save_output)
        duties.add('counting', 0.0, self._tally.flush)
        duties.add('the heartbeat', _HEARTBEAT, self._heartbeat)
        duties.add("the jobs' heartbeats", 0.0, self._heartbeat_jobs)
        duties.add('looking after services', _HEARTBEAT, self._services.look)
        duties.add('maintenance', 0.0, self._maintain)
        if os.getpid() == 1:
            duties.add('reaping', 0.0, self._reap_strangers)
        self._loop.every(_TICK, self._tick)
        self._loop.every(_RECOVERY, self._recover)
        if worker.status_line is not None:
            self._loop.every(worker.status_line.interval, self._show_status)

    def _begin(self) -> None:
        """Do what comes before the first job."""
        try:
            self._maintain()
        except Exception as error:
            self._in_trouble(error)
        self._services.start()

    def _await_imports(self) -> None:
        """Wait until the application is imported where it should be: without it nothing can run."""
        while self._settings.imports_anything and not self._nursery.is_ready and not self._stops():
            if self._error is not None:
                raise self._error
            if self._paused is None:
                self._nursery.order(1, beyond=1)
            self._loop.run_once(0.1)

    def _order_first(self) -> None:
        """Have children forked while RQ's maintenance runs, if they are likely to be needed."""
        try:
            if not self._burst or self._worker.connection.exists(*(queue.key for queue in self._worker.queues)):
                self._nursery.order(min(self._capacity(), _SPARE))
        except Exception as error:
            self._in_trouble(error)

    def _finished(self) -> bool:
        if self.running or self._settling or self._homeless:
            return False
        worker = self._worker
        if worker._stop_requested:
            worker.log.info('Worker %s: stopping on request', worker.name)
            return True
        if self._max_jobs is not None and self._started >= self._max_jobs:
            worker.log.info('Worker %s: finished executing %d jobs, quitting', worker.name, self._started)
            return True
        if self._burst and not self._look and (self._suspended or not self._more_is_ready()):
            worker.log.info('Worker %s: done, quitting', worker.name)
            return True
        idle = time.monotonic() - self._idle_since
        if self._max_idle_time is not None and not self._look and idle >= self._max_idle_time:
            worker.log.info('Worker %s: idle for %d seconds, quitting', worker.name, self._max_idle_time)
            return True
        return False

    def _more_is_ready(self) -> bool:
        """Enqueue the dependents that RQ has left in ready registries; returns whether there may be work now."""
        try:
            self._enqueue_ready(None)
        except Exception as error:
            self._in_trouble(error)
        return self._look

    def _enqueue_ready(self, names: list[str] | None) -> None:
        if enqueue_ready(self._worker, names):
            self._look = True
        if names is None:
            self._left_ready = False

    def _capacity(self) -> int:
        if self._worker._stop_requested or self._stopping or self._suspended or self._paused is not None:
            return 0
        free = self._settings.max_children - len(self.running) - len(self._homeless)
        if self._max_jobs is not None:
            free = min(free, self._max_jobs - self._started)
        return max(0, free)

    def _fill(self) -> None:
        try:
            if self._paused is None:
                self._settling.hand_out()
            if self._left_ready and self._paused is None:
                self._enqueue_ready(None)
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
            if not self._burst and self._capacity():
                self._nursery.order(min(self._capacity(), _SPARE))
                self._queues.arm([queue.key for queue in self._worker.queues], self._worker.dequeue_timeout)
        except Suspended:
            self._set_suspended(True)
        except BaseException as error:
            self._in_trouble(error)

    def _take(self) -> bool:
        """Take one job and start it; returns whether to go on at once."""
        waiting = self._nursery.waiting()
        worker = self._worker
        if not waiting:
            if not self._work_seen and not worker.connection.exists(*(queue.key for queue in worker.queues)):
                self._look = False
            else:
                self._nursery.order(self._capacity())
            return False
        assert self._intake is not None
        self._work_seen = False
        taken, more = self._intake.take(waiting[0].identity)
        if not more:
            self._look = False
        self._work_seen = more
        for assignment in taken:
            self._started += 1
            waiting = self._nursery.waiting()
            if waiting:
                self._begin_job(waiting[0], assignment)
            else:
                self._homeless.append(assignment)
        return more

    def _begin_job(self, child: Child, assignment: Assignment) -> None:
        if not self._hand_over(child, assignment, assignment.task, None):
            # It was killed while it waited. Its end is still to be seen, but not as the end of this job.
            self._homeless.append(assignment)

    def _hand_over(self, child: Child, assignment: Assignment, task: Task, ending: Ending | None) -> bool:
        child.assignment, child.ending = assignment, ending
        child.started = time.monotonic()
        child.next_heartbeat = child.started + self._worker.job_monitoring_interval
        try:
            child_process.send_task(child.channel, task)
        except OSError:
            child.lose()
            return False
        return True

    # Children

    def _leave(self) -> None:
        """Close in the forker what is the supervisor's."""
        self._loop.abandon()
        self._queues.abandon()
        if self._commands is not None:
            self._commands.abandon()
        self._services.leave()
        pool: Any = self._worker.connection.connection_pool
        for connection in pool._available_connections:
            if connection._sock is not None:
                connection._sock.close()

    def _child_ended(self, child: Child, status: int, values: tuple[Any, ...]) -> None:
        if self._look and self._work_seen and not self._stops():
            # While the end of this job is written down here, the next child is forked there.
            self._nursery.order(self._capacity())
        report = child.mailbox.read()
        child.close()
        capture, child.capture = child.capture, None
        if capture is not None and capture.read_end >= 0:
            capture.drain()
            self._loop.unwatch(capture.read_end)
        out_of_memory = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and self._oom.happened()
        words = limits.explain_exit(status, out_of_memory)
        if child.late:
            words = f'{words}, by its worker: it did not heed its time-out, nor anything for a minute after it'
        if child.assignment is None or child.ending is not None:
            if capture is not None:
                capture.close()
            if child.assignment is not None:
                self._settling.child_ended(child, report.kind if report is not None else '', words)
            elif not child.retired:
                self._worker.log.warning('Worker %s: waiting child %d ended: %s', self._worker.name, child.pid, words)
            return
        verdict = judge(report, child.stop_reason)
        ending = Ending(
            verdict,
            self._reason(verdict, child, status, words),
            verdict is Verdict.CRASHED,
            report,
            child.pid,
            status,
            tuple(values),
            child.seconds(),
            words,
        )
        if verdict in (Verdict.STOPPED, Verdict.ABANDONED, Verdict.CRASHED):
            self._end_leftovers(child.assignment, child)
        if self._settings.preload and report is not None and report.module:
            self._nursery.preload(report.module)
        self._settling.add(child.assignment, ending, capture)

    def _end_leftovers(self, assignment: Assignment, child: Child) -> None:
        """End what the job started: it may run again, and must not meet its own old programs."""
        remains = Remains(assignment.execution.id, child.identity)
        killed = end_leftovers([remains], self._kill_at - time.monotonic())
        if killed:
            self._worker.log.info(
                'Worker %s: killed %d process(es) that job %s left behind', self._worker.name, killed, child.job_id
            )

    @staticmethod
    def _reason(verdict: Verdict, child: Child, status: int, words: str) -> str:
        if verdict is Verdict.ABANDONED:
            return f'The job was not finished: {child.stop_reason}'
        if verdict is Verdict.CRASHED:
            signal_text = f' (signal {os.WTERMSIG(status)})' if os.WIFSIGNALED(status) else ''
            return f'Work-horse terminated unexpectedly; waitpid returned {status}{signal_text}; {words}'
        return ''

    def _job_is_over(self, assignment: Assignment, ending: Ending) -> None:
        self._worker.executions.pop(assignment.execution.id, None)
        enqueued_at = assignment.claim.raw.get(b'enqueued_at')
        self._tally.ended(assignment.queue.name, enqueued_at, assignment.claim.at, ending.seconds)
        self._idle_since = time.monotonic()
        # RQ's methods have written its end, and moved what depends on it.
        self._left_ready = self._left_ready or ending.verdict is not Verdict.SUCCESS
        if self._worker.status_line is not None:
            self._worker.status_line.ended(ending.report is not None)
        # In a burst, what has ended may have enqueued more; else the queues say so themselves.
        if self._burst or not self._queues.armed:
            self._look = True

    # Once in a while

    def _tick(self) -> None:
        self._check_children()
        if self._paused is None:
            self._duties.run()

    def _look_for_suspension(self) -> None:
        self._set_suspended(bool(self._worker.connection.exists(WORKERS_SUSPENDED)))

    def _step_scheduler(self) -> None:
        scheduler = self._worker.scheduler
        if isinstance(scheduler, InProcessScheduler) and not self._stops():
            scheduler.step()

    def _step_cron(self) -> None:
        if self._worker.cron is not None and not self._stops():
            self._worker.cron.step()

    def _save_output(self) -> None:
        for child in self.running:
            if child.capture is not None:
                child.capture.save(self._worker.connection, child.job_id)

    def _heartbeat_jobs(self) -> None:
        worker = self._worker
        clock = time.monotonic()
        for child in self.running:
            if child.assignment is not None and clock >= child.next_heartbeat:
                child.next_heartbeat = clock + worker.job_monitoring_interval
                worker.maintain_heartbeats(child.assignment.job, child.assignment.execution)

    def _maintain(self) -> None:
        if self._worker.should_run_maintenance_tasks and not self._stops():
            self._worker.run_maintenance_tasks()

    def _reap_strangers(self) -> None:
        """Reap what the kernel gave to process 1 of a container; what is ours is reaped by its owner."""
        own = {self._nursery.forker_pid, *self._services.pids}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in own:
                return
            os.waitpid(found.si_pid, os.WNOHANG)

    def _stops(self) -> bool:
        return self._stopping or bool(self._worker._stop_requested)

    def _heartbeat(self) -> None:
        if self._worker.heart.beat():
            # What it said of its jobs has gone with it.
            for child in self.running:
                child.next_heartbeat = 0.0

    def _check_children(self) -> None:
        """Kill from outside what does not heed its time-out, or takes too long over another job's end."""
        for child in self.running:
            assert child.assignment is not None
            seconds = child.assignment.job.timeout
            if not isinstance(seconds, int) or seconds <= 0 or child.stop_reason:
                continue
            if child.seconds() > seconds + _DEAF:
                child.late = True
                child.kill(signal.SIGKILL)
        self._settling.check()

    def _set_suspended(self, suspended: bool) -> None:
        if suspended == self._suspended:
            return
        worker = self._worker
        self._suspended = suspended
        if not suspended:
            self._look = True
            worker.set_state(WorkerStatus.BUSY if self.running else WorkerStatus.IDLE)
            return
        if self._burst:
            worker.log.info('Worker %s: suspended in burst mode, exiting', worker.name)
            worker.log.info('Worker %s: note: there could still be unfinished jobs on the queue', worker.name)
            self._look = False
            return
        worker.log.info('Worker %s: suspended, run `rq resume` to resume', worker.name)
        self._queues.close()
        worker.set_state(WorkerStatus.SUSPENDED)

    def _recover(self) -> None:
        if self._paused is None and self._worker.recovery.run():
            self._look = True
            if isinstance(self._worker.scheduler, InProcessScheduler):
                self._worker.scheduler.others_died()

    def _take_back_what_was_lost(self) -> None:
        if not self._reconcile:
            return
        known = {child.assignment.composite_key for child in self._nursery.busy if child.assignment is not None}
        known |= self._settling.composite_keys
        known |= {assignment.composite_key for assignment in self._homeless}
        if self._intake is not None:
            known |= self._intake.claimed
        if return_lost_claims(self._worker, self._worker.name, known, running=True):
            self._look = True
        self._reconcile = False

    # When something happens

    def _work_may_be_there(self) -> None:
        self._look = True

    def _queue_is_no_list(self, key: str, kind: str) -> None:
        self._worker.log.error(
            'Worker %s: %s is no queue but of type %s; it is left alone until that is mended',
            self._worker.name,
            key,
            kind,
        )

    def _command_failed(self, error: BaseException) -> None:
        self._worker.log.error('Worker %s: a command could not be carried out', self._worker.name, exc_info=error)

    def _in_trouble(self, error: BaseException) -> None:
        """Bear an error that nobody has handled: say so once, take nothing for a while, and go on."""
        worker = self._worker
        if is_lost(error):
            self._store_lost(error)
            return
        self._reconcile = True
        self._look = True
        if self._paused is not None:
            return
        pause = min(self._backoff.next(), _LONGEST_REFUSAL if refuses(error) else _LONGEST_PAUSE)
        said = f'{type(error).__name__}: {error}'
        if refuses(error):
            self._queues.close()
            if said != self._said:
                worker.log.error(
                    'Worker %s: the store takes no writes for now: %s; running jobs go on, and what is to be written '
                    'waits',
                    worker.name,
                    error,
                )
        elif said != self._said:
            worker.log.error('Worker %s: %s; going on after a pause', worker.name, said, exc_info=error)
        self._said = said
        self._pause_for(pause)

    def _store_lost(self, error: BaseException) -> None:
        """The store is away: try again after a while. A call that took a job may have been carried out."""
        self._reconcile = True
        self._look = True
        self._queues.close()
        if self._paused is not None:
            return
        pause = self._backoff.next()
        self._worker.log.error(
            'Worker %s: could not connect to Redis instance: %s retrying in %.1f seconds...',
            self._worker.name,
            error,
            pause,
        )
        self._pause_for(pause)

    def _pause_for(self, seconds: float) -> None:
        """Take nothing for a while."""
        self._look = True
        if self._paused is None:
            self._paused = self._loop.after(seconds, self._try_again)

    def _try_again(self) -> None:
        self._paused = None
        worker = self._worker
        if worker.connection.exists(worker.key):
            # A write that changes nothing: a store whose disk is full answers everything else.
            worker.connection.hset(worker.key, 'state', worker.get_state())
        self._duties.run()
        if self._said:
            worker.log.info('Worker %s: going on', worker.name)
            self._said = ''
        self._backoff.reset()

    def _give_up(self, failure: ImportFailed) -> None:
        # The first one says why.
        self._error = self._error or failure

    def _on_signal(self, number: int) -> None:
        worker = self._worker
        try:
            if worker._shutdown_requested_date is None:
                if self._settings.grace is not None:
                    self._loop.after(self._settings.grace, self._grace_is_over)
                worker.request_stop(number, None)
                self._queues.close()
            else:
                worker.request_force_stop(number, None)
        except (StopRequested, SystemExit) as error:
            self._error = error

    def _grace_is_over(self) -> None:
        self._worker.log.warning(
            'Worker %s: %g seconds of grace are over, stopping %d job(s)',
            self._worker.name,
            self._settings.grace,
            len(self.running),
        )
        self.stop_children('its worker was stopped and the time for it was over')

    def _show_status(self) -> None:
        line = self._worker.status_line
        assert line is not None
        line.show(self._worker, len(self.running), self._settings.max_children)

    # The end

    def before_teardown(self) -> None:
        """End the waiting children and the services."""
        self._stopping = True
        self._nursery.expect_the_end()
        self._queues.close()
        self._nursery.retire_waiting()
        with contextlib.suppress(RedisError):
            self._tally.flush(now=True)
        self._services.ask_to_end()
        self._nursery.close()
        self._services.wait_for_the_end()

    def _close(self) -> None:
        if os.getpid() != self._pid:
            return
        self._queues.close()
        self.stop_listening()
        self._loop.close()
