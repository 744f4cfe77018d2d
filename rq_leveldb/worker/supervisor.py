"""The worker's one loop: it takes jobs off the queues, hands them to children, and sees how they end.

One thread, no blocking call but short round trips to the store. What it waits for:

==================  ===================================================================================
signal wake-ups     SIGINT and SIGTERM: stop; a second one: stop at once
the forker          a child is there, or has ended: read how, settle its job if it did not do so itself
queue watches       a queue is no longer empty
the command watch   RQ's commands and `children`
a capture's pipe    output of a job
timers              once a second: scheduled jobs, cron, dead workers, suspension, heartbeats, time-outs
==================  ===================================================================================

A job is taken off its queue only when a child is there, forked and waiting for it: so the fork is not between the
job's arrival and its start, and the store knows with the job which process has it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as StoreTimeout
from rq.exceptions import DequeueTimeout, InvalidJobOperation, StopRequested
from rq.job import JobStatus
from rq.logutils import blue, green
from rq.queue import Queue
from rq.suspension import WORKERS_SUSPENDED
from rq.utils import as_text, now
from rq.worker import DequeueStrategy, WorkerStatus
from rq.worker.base import BaseWorker

from rq_leveldb import systemd

from . import child as child_process
from . import limits
from .backoff import Backoff
from .bookkeeping import Claim, Suspended
from .child import Child, Success, Task
from .forker import usage_from
from .loop import Loop, Timer
from .nursery import Nursery
from .ready import enqueue_ready
from .recovery import return_lost_claims
from .scheduler import InProcessScheduler
from .services import Services
from .settlement import settle_abandoned
from .tally import Tally
from .watch import CommandWatch, QueueWatch

if TYPE_CHECKING:
    from types import TracebackType

    from rq.executions import Execution
    from rq.job import Job

    from .worker import Worker

__all__ = ['Supervisor']

_TICK = 1.0
_HEARTBEAT = 30.0
_RECOVERY = 0.5
# Children that wait for a job cost memory; this many are kept when there is nothing to do.
_SPARE = 4
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0

_HAS_PIDFD = hasattr(os, 'pidfd_open')

_ConnectionLost = (LostConnection, StoreTimeout)


class Supervisor:
    """Runs the loop of one worker; to be used as a context.

    Args:
        worker: whose jobs are run, and whose methods are called.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._settings = worker.settings
        self._loop = Loop()
        self._queues = QueueWatch(worker.connection, self._loop, self._work_may_be_there, self._store_lost)
        self._commands: CommandWatch | None = None
        self._nursery = Nursery(worker, self._loop, self._leave, self._child_ended, self._pause_for)
        self._services = Services(worker, self._loop, self._stops)
        self._tally = Tally(worker)
        self._unsettled: list[tuple[Child, int, Any]] = []
        self._oom = limits.OutOfMemoryWatch()
        self._pid = os.getpid()
        self._claims_in_hand: dict[str, Claim] = {}
        self._next_child: Child | None = None
        self._homeless: list[tuple[Claim, Queue, Execution, Task, Job | None]] = []
        self._work_seen = False
        self._imported: set[str] = set()
        self._burst = False
        self._plain = self._own_dequeue = False
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
        self._started = 0
        self._ended = 0
        self._idle_since = time.monotonic()
        self._next_heartbeat = time.monotonic() + _HEARTBEAT
        self._error: BaseException | None = None

    def __enter__(self) -> Supervisor:
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
        """The children that have a job."""
        return self._nursery.running

    def listen(self, channel: str) -> None:
        """Receive what is published for this worker."""
        self._commands = CommandWatch(
            self._worker.connection, self._loop, channel, self._worker.handle_payload, self._store_lost
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

    def stop_child(self, child: Child) -> None:
        """Kill a child whose job somebody wants stopped."""
        child.stop_reason = 'stopped'
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
        kill = self._loop.after(self._settings.kill_after, self._kill_running)
        while self.running:
            self._loop.run_once(1.0)
        kill.cancel()

    def _kill_running(self) -> None:
        for child in self.running:
            child.kill(signal.SIGKILL)

    # The loop

    def run(self, burst: bool, max_jobs: int | None, max_idle_time: int | None) -> None:
        """Work until told to stop, or until there is no more to do; arguments as for RQ's `work`.

        Raises:
            SystemExit: it was told to stop at once.
        """
        self._burst, self._max_jobs, self._max_idle_time = burst, max_jobs, max_idle_time
        worker = self._worker
        self._loop.catch((signal.SIGINT, signal.SIGTERM), self._on_signal)
        if not _HAS_PIDFD:
            self._loop.catch((signal.SIGCHLD,), lambda number: self._services.reap())
        self._loop.every(_TICK, self._tick)
        self._loop.every(_RECOVERY, self._recover)
        if worker.status_line is not None:
            self._loop.every(worker.status_line.interval, self._show_status)
        self._plain = worker.is_plain()
        self._own_dequeue = self._uses_own_dequeue()
        self._order_first()
        worker.run_maintenance_tasks()
        self._services.start()
        systemd.notify('READY=1')
        try:
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
        except (SystemExit, KeyboardInterrupt):
            raise
        except Exception:
            worker.broken = True
            worker.log.error('Worker %s: found an unhandled exception, quitting...', worker.name, exc_info=True)
        finally:
            systemd.notify('STOPPING=1')
            if self.running:
                self.stop_children('its worker stopped')

    def _order_first(self) -> None:
        """Have children forked while RQ's maintenance runs, if they are likely to be needed."""
        if not self._burst or self._worker.connection.exists(*(queue.key for queue in self._worker.queues)):
            self._nursery.order(min(self._capacity(), _SPARE))

    def _finished(self) -> bool:
        if self.running or self._unsettled or self._homeless:
            return False
        worker = self._worker
        if worker._stop_requested:
            worker.log.info('Worker %s: stopping on request', worker.name)
            return True
        if self._max_jobs is not None and self._started >= self._max_jobs:
            worker.log.info('Worker %s: finished executing %d jobs, quitting', worker.name, self._started)
            return True
        if self._burst and not self._look and (self._suspended or not self._enqueue_ready(None)):
            worker.log.info('Worker %s: done, quitting', worker.name)
            return True
        idle = time.monotonic() - self._idle_since
        if self._max_idle_time is not None and not self._look and idle >= self._max_idle_time:
            worker.log.info('Worker %s: idle for %d seconds, quitting', worker.name, self._max_idle_time)
            return True
        return False

    def _enqueue_ready(self, names: list[str] | None) -> bool:
        """Enqueue the dependents that RQ has left in ready registries; returns whether there may be work now."""
        if names is None:
            self._left_ready = False
        try:
            if enqueue_ready(self._worker, names):
                self._look = True
        except _ConnectionLost as error:
            self._left_ready = True
            self._store_lost(error)
        except RedisError as error:
            self._worker.log.error('Worker %s: dependents were not enqueued: %s', self._worker.name, error)
        return self._look

    def _capacity(self) -> int:
        if self._worker._stop_requested or self._stopping or self._suspended or self._paused is not None:
            return 0
        free = self._settings.max_children - len(self.running) - len(self._homeless)
        if self._max_jobs is not None:
            free = min(free, self._max_jobs - self._started)
        return max(0, free)

    def _fill(self) -> None:
        try:
            while self._homeless and (child := self._waiting_child()) is not None:
                claim, queue, execution, task, job = self._homeless.pop(0)
                self._hand_over(child, claim, queue, execution, task, job)
            if self._left_ready and self._paused is None:
                self._enqueue_ready(None)
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
        except _ConnectionLost as error:
            self._store_lost(error)

    def _take(self) -> bool:
        """Take one job and start it; returns whether to go on at once."""
        child = self._waiting_child()
        worker = self._worker
        if child is None:
            if not self._work_seen and not worker.connection.exists(*(queue.key for queue in worker.queues)):
                self._look = False
            else:
                self._nursery.order(self._capacity())
            return False
        self._next_child = child
        self._work_seen = False
        try:
            if self._own_dequeue:
                job_and_queue = self._dequeue_as_rq()
                if job_and_queue is None:
                    self._look = False
                    return False
                self._work_seen = True
                worker.execute_job(*job_and_queue)
                return True
            start = worker.bookkeeper.start if self._plain else worker.bookkeeper.claim
            claims = start(worker._ordered_queues, child.identity)
            if not claims:
                self._look = False
                return False
            self._work_seen = True
            for claim in claims:
                self._dispatch(claim)
            return True
        finally:
            self._next_child = None

    def _uses_own_dequeue(self) -> bool:
        queue_class = self._worker.queue_class
        return any(
            getattr(queue_class, name).__func__ is not getattr(Queue, name).__func__
            for name in ('dequeue_any', 'lpop', 'lmove', '_fetch_dequeued_job')
        )

    def _dequeue_as_rq(self) -> tuple[Job, Queue] | None:
        worker = self._worker
        if worker.connection.exists(WORKERS_SUSPENDED):
            raise Suspended
        try:
            result: tuple[Job, Queue] | None = worker.queue_class.dequeue_any(
                worker._ordered_queues,
                None,
                connection=worker.connection,
                job_class=worker.job_class,
                serializer=worker.serializer,
                death_penalty_class=worker.death_penalty_class,
            )
        except DequeueTimeout:
            return None
        if result is not None:
            job, queue = result
            worker.reorder_queues(reference_queue=queue)
            self._log_taken(queue, job.id, job.description or '')
        return result

    def _dispatch(self, claim: Claim) -> None:
        worker = self._worker
        queue = worker.queue_for(claim.queue_key)
        if worker._dequeue_strategy != DequeueStrategy.DEFAULT or (
            type(worker).reorder_queues is not BaseWorker.reorder_queues
        ):
            worker.reorder_queues(reference_queue=queue)
        self._log_taken(queue, claim.job_id, as_text(claim.raw.get(b'description', b'')))
        if claim.execution_id:
            worker.state_is_stored(WorkerStatus.BUSY)
            self._give(claim, queue, claim.execution(worker), prepared=True)
            return
        self._claims_in_hand[claim.job_id] = claim
        try:
            worker.execute_job(claim.job(worker, queue), queue)
        finally:
            self._claims_in_hand.pop(claim.job_id, None)

    def _log_taken(self, queue: Queue, job_id: str, description: str) -> None:
        worker = self._worker
        if worker.log_job_description:
            worker.log.info('Worker %s: %s: %s (%s)', worker.name, green(queue.name), blue(description), job_id)
        else:
            worker.log.info('Worker %s: %s: %s', worker.name, green(queue.name), job_id)

    def start_job(self, job: Job, queue: Queue) -> None:
        """Give a job to a child, with the bookkeeping by RQ's own methods."""
        worker = self._worker
        claim = self._claims_in_hand.get(job.id)
        if claim is None:
            claim = Claim(queue.key, job.id, '', {_bytes(k): _bytes(v) for k, v in job.to_dict().items()})
        execution = worker.prepare_execution(job)
        worker.state_is_stored(WorkerStatus.BUSY)
        worker.bookkeeper.release_claim(job.id)
        claim.at = execution.created_at.timestamp()
        self._give(claim, queue, execution, prepared=False)

    def _give(self, claim: Claim, queue: Queue, execution: Execution, *, prepared: bool) -> None:
        job = claim.job(self._worker, queue) if prepared else None
        if job is not None:
            job.redis_server_version = self._worker.redis_server_version
        state = child_process.state_of(job) if job is not None else None
        task = Task(claim, execution.id, prepared, self._memory_of(claim, queue), state)
        self._started += 1
        self._worker.executions[execution.id] = execution
        child = self._next_child or self._waiting_child()
        self._next_child = None
        if child is None:
            self._homeless.append((claim, queue, execution, task, job))
        else:
            self._hand_over(child, claim, queue, execution, task, job)
        if self._settings.preload:
            self._preload(claim, queue)

    def _hand_over(
        self, child: Child, claim: Claim, queue: Queue, execution: Execution, task: Task, job: Job | None
    ) -> None:
        child.take(claim, queue, execution, job)
        child.started = time.monotonic()
        child.next_heartbeat = child.started + self._worker.job_monitoring_interval
        try:
            child_process.send_task(child.channel, task)
        except OSError:
            # It was killed while it waited. Its end is still to be seen, but not as the end of this job.
            child.lose_job()
            self._homeless.append((claim, queue, execution, task, job))

    def _memory_of(self, claim: Claim, queue: Queue) -> int | None:
        meta = claim.raw.get(b'meta')
        if not meta:
            return self._settings.job_memory
        try:
            wanted = self._worker.serializer.loads(meta).get('job_memory')
            return limits.parse_size(wanted) if wanted is not None else self._settings.job_memory
        except Exception:
            return self._settings.job_memory

    # Children

    def _waiting_child(self) -> Child | None:
        return next((child for child in self._nursery.waiting() if child is not self._next_child), None)

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
        if self._look and self._work_seen:
            # While the end of this job is written down here, the next child is forked there.
            self._nursery.order(self._capacity())
        usage = usage_from(values)
        report = child.report()
        child.channel.close()
        if child.claim is None:
            if child.capture is not None:
                self._end_capture(child)
            if not child.retired:
                self._worker.log.warning(
                    'Worker %s: waiting child %d ended: %s', self._worker.name, child.pid, limits.explain_exit(status)
                )
            return
        finished = status == 0 and report == child_process.DONE
        child.success = child_process.read_success(report)
        if finished and child.capture is None:
            self._job_is_over(child, True)
        else:
            self._settle(child, status, usage, finished)

    def _settle(self, child: Child, status: int, usage: Any, finished: bool, *, again: bool = False) -> None:
        try:
            if child.success is not None:
                self._write_success(child, child.success, again)
                finished = True
            elif not finished:
                self._settle_job(child, status, usage)
            if child.capture is not None:
                self._end_capture(child)
        except _ConnectionLost as error:
            self._unsettled.append((child, status, usage))
            self._store_lost(error)
            return
        except Exception:
            self._worker.log.exception(
                'Worker %s: the end of job %s could not be handled',
                self._worker.name,
                child.claim and child.claim.job_id,
            )
        self._job_is_over(child, finished)

    def _job_is_over(self, child: Child, finished: bool) -> None:
        assert child.execution is not None
        self._worker.executions.pop(child.execution.id, None)
        self._ended += 1
        if child.claim is not None and child.queue is not None:
            enqueued_at = child.claim.raw.get(b'enqueued_at')
            self._tally.ended(child.queue.name, enqueued_at, child.claim.at, child.seconds())
        self._idle_since = time.monotonic()
        if self._worker.status_line is not None:
            self._worker.status_line.ended(finished)
        if child.success is None:
            # Its end was written by RQ's methods, which move dependents.
            self._left_ready = True
        # In a burst, what has ended may have enqueued more; else the queues say so themselves.
        if self._burst or not self._queues.armed:
            self._look = True

    def _write_success(self, child: Child, success: Success, again: bool) -> None:
        assert child.claim is not None
        assert child.queue is not None
        assert child.execution is not None
        worker = self._worker
        worker.parent_of({**success.usage, 'raw': child.claim.raw})
        try:
            worker.write_reported_success(child.job(worker), child.queue, child.execution, success, again)
        finally:
            worker.parent_of(None)

    def _settle_job(self, child: Child, status: int, usage: Any) -> None:
        """Do what the child did not do itself; RQ's order of things, `monitor_work_horse`."""
        worker = self._worker
        assert child.claim is not None
        assert child.queue is not None
        assert child.execution is not None
        job = child.job(worker)
        try:
            job_status = job.get_status()
        except InvalidJobOperation:
            return
        execution = child.execution
        if not worker.connection.exists(execution.key) and job_status != JobStatus.STARTED:
            # Everything was written before it died.
            return
        out_of_memory = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and self._oom.happened()
        words = limits.explain_exit(status, out_of_memory)
        job.ended_at = now()
        worker.parent_of(self._usage(child, usage, words))
        try:
            if child.stop_reason == 'stopped':
                worker._stopped_job_id = job.id
                worker._handle_stopped_job(job, child.queue, execution)
            elif child.stop_reason:
                reason = f'The job was not finished: {child.stop_reason}'
                settle_abandoned(worker, job, child.queue, execution, reason, crashed=False)
            elif job_status not in (JobStatus.FINISHED, JobStatus.FAILED):
                signal_text = f' (signal {os.WTERMSIG(status)})' if os.WIFSIGNALED(status) else ''
                reason = f'Work-horse terminated unexpectedly; waitpid returned {status}{signal_text}; {words}'
                try:
                    worker.handle_work_horse_killed(job, child.pid, status, usage)
                except Exception:
                    worker.log.exception('Worker %s: work_horse_killed_handler raised', worker.name)
                settle_abandoned(worker, job, child.queue, execution, reason, crashed=os.WIFSIGNALED(status))
        finally:
            worker.parent_of(None)

    def _usage(self, child: Child, used: Any, words: str) -> dict[str, Any]:
        assert child.claim is not None
        assert child.execution is not None
        return {
            'execution': child.execution.id,
            'worker': self._worker.name,
            'started': child.claim.at,
            'wall': round(child.seconds(), 6),
            'cpu': round(used.ru_utime + used.ru_stime, 6),
            'memory': used.ru_maxrss * (1 if sys.platform == 'darwin' else 1024),
            'exit': words,
            'raw': child.claim.raw,
        }

    # Output

    def _end_capture(self, child: Child) -> None:
        capture = child.capture
        assert capture is not None
        if child.claim is not None:
            key = self._worker.job_class.key_for(child.claim.job_id)
            capture.finish(self._worker.connection, child.claim.job_id, as_text(key))
        if capture.read_end >= 0:
            self._loop.unwatch(capture.read_end)
            capture.close()
        child.capture = None

    def _save_output(self) -> None:
        for child in self.running:
            if child.capture is not None and child.claim is not None:
                child.capture.save(self._worker.connection, child.claim.job_id)

    # Once in a while

    def _tick(self) -> None:
        try:
            self._tick_over_store()
        except _ConnectionLost as error:
            self._store_lost(error)
        self._check_children()

    def _tick_over_store(self) -> None:
        worker = self._worker
        if self._paused is not None:
            return
        clock = time.monotonic()
        for child, status, usage in self._take_unsettled():
            self._settle(child, status, usage, False, again=True)
        if self._reconcile:
            self._take_back_what_was_lost()
        self._set_suspended(bool(worker.connection.exists(WORKERS_SUSPENDED)))
        if worker.scheduler is not None and isinstance(worker.scheduler, InProcessScheduler) and not self._stops():
            worker.scheduler.step()
        if worker.cron is not None and not self._stops():
            worker.cron.step()
        self._enqueue_ready([queue.name for queue in worker.queues])
        if self._settings.capture_output:
            self._save_output()
        self._tally.flush()
        if clock >= self._next_heartbeat:
            self._next_heartbeat = clock + _HEARTBEAT
            self._heartbeat()
        for child in self.running:
            if clock >= child.next_heartbeat:
                child.next_heartbeat = clock + worker.job_monitoring_interval
                assert child.execution is not None
                worker.maintain_heartbeats(child.job(worker), child.execution)
        if worker.should_run_maintenance_tasks and not self._stops():
            worker.run_maintenance_tasks()

    def _stops(self) -> bool:
        return self._stopping or bool(self._worker._stop_requested)

    def _heartbeat(self) -> None:
        worker = self._worker
        if not worker.connection.exists(worker.key):
            # It was away for longer than its time to live, or somebody emptied the store.
            fields: dict[Any, Any] = worker.serialize()
            worker.connection.hset(worker.key, mapping=fields)
            worker.connection.hset(worker.key, 'state', worker.get_state())
            with worker.connection.pipeline() as pipeline:
                from rq import worker_registration

                worker_registration.register(worker, pipeline)
                pipeline.execute()
        worker.heartbeat()

    def _take_unsettled(self) -> list[tuple[Child, int, Any]]:
        unsettled, self._unsettled = self._unsettled, []
        return unsettled

    def _check_children(self) -> None:
        """Kill from outside what does not heed its time-out; RQ's rule: a minute after it."""
        for child in self.running:
            timeout = child.claim.raw.get(b'timeout') if child.claim else None
            if timeout is None or child.stop_reason:
                continue
            try:
                seconds = int(timeout)
            except ValueError:
                continue
            if seconds != -1 and child.seconds() > seconds + 60:
                child.kill(signal.SIGKILL)

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
        if self._paused is not None:
            return
        try:
            if self._worker.recovery.run():
                self._look = True
                if isinstance(self._worker.scheduler, InProcessScheduler):
                    self._worker.scheduler.others_died()
        except _ConnectionLost as error:
            self._store_lost(error)

    def _take_back_what_was_lost(self) -> None:
        known = {child.execution.composite_key for child in self.running if child.execution is not None}
        known |= {child.execution.composite_key for child, _, _ in self._unsettled if child.execution is not None}
        known |= {execution.composite_key for _, _, execution, _, _ in self._homeless}
        known |= set(self._claims_in_hand)
        self._reconcile = False
        try:
            if return_lost_claims(self._worker, self._worker.name, known, running=True):
                self._look = True
        except _ConnectionLost:
            self._reconcile = True
            raise

    # When something happens

    def _work_may_be_there(self) -> None:
        self._look = True

    def _store_lost(self, error: Exception) -> None:
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
        try:
            self._worker.connection.ping()
            self._tick_over_store()
        except _ConnectionLost as error:
            self._store_lost(error)
            return
        except RedisError as error:
            self._worker.log.error('Worker %s: the store refuses: %s', self._worker.name, error)
        self._backoff.reset()

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

    def _preload(self, claim: Claim, queue: Queue) -> None:
        try:
            name = claim.job(self._worker, queue).func_name or ''
        except Exception:
            return
        module = name.rpartition('.')[0]
        if module and module not in self._imported:
            self._imported.add(module)
            self._nursery.preload(module)

    def _show_status(self) -> None:
        line = self._worker.status_line
        assert line is not None
        try:
            line.show(self._worker, len(self.running), self._settings.max_children)
        except _ConnectionLost as error:
            self._store_lost(error)

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


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(getattr(value, 'value', value)).encode()
