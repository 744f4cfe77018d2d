"""The contract with RQ: RQ's worker, with at most N jobs at once, each in a process of its own.

Everything that RQ's worker can be asked from outside keeps its meaning. Outside of `work()` this class behaves as
RQ's does, one job at a time in the foreground; inside, a `Supervisor` runs the show and calls the methods here.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import redis.exceptions
import rq.worker
from rq.command import handle_command, parse_payload
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.job_lifecycle import format_exc_info
from rq.queue import Queue
from rq.utils import now
from rq.worker import DequeueStrategy
from rq.worker.base import SHUTDOWN_SIGNAL, signal_name

from rq_leveldb.api import DefaultConnection
from rq_leveldb.client.default_place import default_place
from rq_leveldb.failed_import import describe
from rq_leveldb.process import Identity, forget_handlers, identify, prepare_to_fork
from rq_leveldb.unreadable import is_wrong_type

from . import limits
from .assignment import Assignment, Task
from .backoff import Backoff
from .bookkeeping import Bookkeeper, Claim, Sealed, SealedSerializer, decode_list, encode_list, mark_started
from .cron import WorkerCron
from .found import read_fields
from .green import is_eventlets
from .heartbeat import LEASE, Heartbeat, new_beat
from .liveness import BEAT_FIELD, identity_fields
from .maintenance import Maintenance
from .name_lock import NameLocks
from .ready import enqueue_ready
from .record import Record
from .recovery import Recovery
from .rehearsal import rehearse
from .scheduler import InProcessScheduler
from .settings import Hook, Settings
from .settlement import set_aside_dependents
from .supervisor import Supervisor
from .trouble import LOST, guarded, is_about_the_store
from .untouched import first_touched, is_shipped

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from redis.client import Pipeline
    from rq.registry import StartedJobRegistry

    from .ending import Ending
    from .mailbox import Report, Slot
    from .services import Service
    from .status_line import StatusLine

__all__ = ['Worker']

_ExcInfo = tuple['type[BaseException] | None', 'BaseException | None', 'TracebackType | None']

_NEEDED_IN_CHILDREN = ('rq.group', 'rq.rate_limit', 'rq.repeat', 'rq.webhook', 'asyncio')

_Unread: Any = object()

# Seconds for the last worker of the same name to be gone.
_NAME_PATIENCE = 1.0
# Seconds for a store that is killed while a worker starts; it was there a moment before.
_START_PATIENCE = 10.0


class Worker(DefaultConnection, rq.worker.Worker):
    """Runs jobs of RQ's queues, at most `max_children` at once, each in a process forked for it.

    Args:
        queues: as for RQ's worker: names or queues, in order of importance; the connection may be left out.
        settings: how it differs from RQ's worker; None for the defaults.
        max_children: shorthand for the setting of this name.
        services: processes to keep alive beside it.
        cron: module or file of RQ's cron definitions; None for none.
        status_line: what shows a person how it goes; None for log lines only.
        kwargs: whatever RQ's worker takes.

    Raises:
        ValueError: `max_children` is negative.
    """

    def __init__(
        self,
        queues: str | Queue | Sequence[str] | Sequence[Queue],
        *args: Any,
        settings: Settings | None = None,
        max_children: int | None = None,
        services: Sequence[Service] = (),
        cron: str | None = None,
        status_line: StatusLine | None = None,
        **kwargs: Any,
    ) -> None:
        self.settings = settings or Settings()
        if max_children is not None:
            self.settings.max_children = max_children
        if self.settings.max_children < 0:
            raise ValueError('max_children must be 0 or more')
        self.services = list(services)
        self.status_line = status_line
        self.identity: Identity | None = None
        self.broken = False
        self._cron_path = cron
        self.cron: WorkerCron | None = None
        self._supervisor: Supervisor | None = None
        self._bookkeeper: Bookkeeper | None = None
        self._recovery: Recovery | None = None
        self._heart: Heartbeat | None = None
        self._maintenance: Maintenance | None = None
        self._names: NameLocks | None = None
        self._asked_to_stop = 0.0
        self.record: Record | None = None
        self.memory_limit: int | None = None
        self._usage: dict[str, Any] | None = None
        self._touched: str | None = _Unread
        self._blank: Job | None = None
        self._stored_state = ''
        self._queues_by_key: dict[str, Queue] = {}
        super().__init__(queues, *args, **kwargs)

    # Identity and registration

    def serialize(self) -> dict[str, Any]:
        """Return what stands in the store about this worker; RQ's fields, and by which its death can be told."""
        fields: dict[str, Any] = super().serialize()
        if self.pid == os.getpid():
            self.identity = identify()
            locked = self._names is not None and self._names.is_own(self.name)
            fields.update(identity_fields(self.identity, locked=locked))
            fields[BEAT_FIELD] = new_beat()
            fields['max_children'] = self.settings.max_children
            fields['cron'] = self._cron_path or ''
        return fields

    def register_birth(self) -> None:
        """Register; a dead worker of the same name is buried first.

        Raises:
            ValueError: a live worker has this name.
        """
        if self._supervisor is not None:
            if not self._take_name():
                raise ValueError(f'There exists an active worker named {self.name!r} already')
            if self._is_own_record():
                # An earlier attempt was carried out and not answered.
                self.connection.delete(self.key)
            self.recovery.free_name()
            self.recovery.run()
            self.recovery.recover_everything_started()
            if not self.connection.hexists(self.key, 'birth'):
                # Half a record, which RQ would take for a live worker.
                self.connection.delete(self.key)
        super().register_birth()

    def _is_own_record(self) -> bool:
        me = identify()
        # With a `death` it is what an earlier `work` of this process left, in good order.
        fields = read_fields(self.connection, self.key, ('pid', 'started', 'boot_id', 'death')) or {}
        return fields == {'pid': str(me.pid), 'started': me.started, 'boot_id': me.boot_id}

    def _take_name(self) -> bool:
        """Lock the own name, on a store; returns False if another holds it."""
        names = NameLocks.of(self.connection)
        if names is None:
            return True
        self._names = names
        # Whoever had it may be at its very end.
        end = time.monotonic() + _NAME_PATIENCE
        try:
            while not names.hold(self.name):
                if time.monotonic() > end:
                    return False
                time.sleep(0.01)
        except OSError as error:
            self.log.warning('Worker %s: its name cannot be locked, others go by its pid: %s', self.name, error)
        return True

    @property
    def is_born(self) -> bool:
        """Whether it is registered and works."""
        return self._supervisor is not None and self.birth_date is not None

    @property
    def heart(self) -> Heartbeat:
        """What says that it lives."""
        if self._heart is None:
            self._heart = Heartbeat(self)
        return self._heart

    @property
    def bookkeeper(self) -> Bookkeeper:
        """What writes about jobs to the store."""
        if self._bookkeeper is None:
            self._bookkeeper = Bookkeeper(self)
        return self._bookkeeper

    @property
    def recovery(self) -> Recovery:
        """What finds workers that died."""
        if self._recovery is None:
            self._recovery = Recovery(self)
        return self._recovery

    def queue_for(self, key: str) -> Queue:
        """Return the queue that has this key in the store."""
        queue = self._queues_by_key.get(key)
        if queue is None:
            for candidate in self.queues:
                self._queues_by_key[candidate.key] = candidate
            queue = self._queues_by_key.get(key)
        if queue is None:
            queue = self._queues_by_key[key] = self.queue_class.from_queue_key(
                key,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
        return queue

    @property
    def shortest_lease(self) -> int:
        """Seconds for which an execution is taken to run at least, without another word."""
        return LEASE if self._names is not None else 0

    @property
    def touched(self) -> str | None:
        """The first thing found that somebody subclassed or replaced, so that RQ's own way is taken; None if nothing.

        Decided once in each process: in the supervisor, and in the forker when it has imported the application.
        """
        if self._touched is _Unread:
            self._look_for_changes()
        return self._touched

    def _look_for_changes(self) -> None:
        self._touched = first_touched(self)
        if self._touched is not None:
            self.log.debug("Worker %s: %s is not RQ's own; jobs end by RQ's methods", self.name, self._touched)

    def is_plain(self) -> bool:
        """Say whether jobs start as this class starts them, so that it can be done in one step."""
        return all(is_shipped(type(self), name) and name not in self.__dict__ for name in _STARTING)

    def call_hooks(self, hooks: list[Hook]) -> None:
        """Call the application's functions, in order."""
        for hook in hooks:
            hook()

    def prepare_to_fork(self) -> None:
        """Do what is to be done once, before the first fork: what is imported here need not be in every child."""
        for module in _NEEDED_IN_CHILDREN:
            importlib.import_module(module)
        prepare_to_fork()
        self.call_hooks(self.settings.before_first_fork)
        # The application is imported now, and with it whatever replaces RQ's methods.
        self._look_for_changes()
        os.environ['RQ_WORKER_ID'] = self.name
        if self.touched is None:
            self._blank_job()
        # The collector writes to what it visits; what it does not visit stays shared with the children.
        gc.freeze()

    def job_from(self, state: dict[str, Any]) -> Job:
        """Return RQ's object for a job that was sent to this child, where nothing is subclassed or replaced.

        Args:
            state: the attributes that `child.state_of` sends.
        """
        job = Job.__new__(Job)
        job.__dict__.update(self._blank_job().__dict__, meta={})
        job.__dict__.update(state)
        return job

    def _blank_job(self) -> Job:
        # Made before the fork: what RQ's constructor goes through need not be gone through in every child.
        if self._blank is None:
            self._blank = Job(None, connection=self.connection, serializer=self.serializer)
        return self._blank

    def after_first_fork(self) -> None:
        """Do what makes the further forks cheaper, and need not be done before there is a first child."""
        if self.touched is None:
            rehearse(self)
        gc.freeze()

    def preload(self, module: str) -> str:
        """Import a module that jobs need, so that the children need not.

        Returns:
            Why it could not be imported; '' if it could.
        """
        if module in sys.modules:
            return ''
        try:
            importlib.import_module(module)
        except BaseException as error:
            words = describe(module, error)
            self.log.warning('Worker %s: could not preload %s', self.name, words)
            return words
        self.log.info('Worker %s: preloaded %s', self.name, module)
        self._look_for_changes()
        gc.freeze()
        return ''

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Set the state; nothing is sent where the store says so already."""
        if self._supervisor is not None and pipeline is None:
            if self._stored_state == state:
                return
            self._stored_state = state
        super().set_state(state, pipeline=pipeline)

    def state_is_stored(self, state: str) -> None:
        """Learn that the store has this state already."""
        self._state = self._stored_state = state

    # The loop

    def work(
        self,
        burst: bool = False,
        logging_level: str | None = None,
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
    ) -> bool:
        """Take jobs and run them until told to stop; arguments, result and log lines as in RQ.

        Returns:
            Whether any job was run.

        Raises:
            BadCronFile: the cron definitions cannot be loaded.
            RuntimeError: eventlet has replaced what this process waits with.
            ImportFailed: what was to be imported before forking cannot be.
            SystemExit: it was told to stop at once.
        """
        if is_eventlets():
            raise RuntimeError(
                'eventlet.monkey_patch() was called in this process, which therefore cannot wait for jobs: start the '
                'worker with `rq-leveldb worker --import MODULE`, where MODULE is what calls it'
            )
        supervisor = self._supervisor = Supervisor(self)
        self._stored_state = ''
        try:
            with default_place(self.connection), supervisor:
                if self._cron_path is not None:
                    # First, so that a worker whose definitions cannot be used was never there.
                    level = logging_level if logging_level is not None else self.log.level
                    self.cron = WorkerCron(self, self._cron_path, level)
                self._bootstrap_patiently(logging_level, date_format, log_format)
                self._stored_state = self._state
                self._dequeue_strategy = dequeue_strategy
                if with_scheduler:
                    self._start_scheduler(burst, logging_level, date_format, log_format)
                try:
                    supervisor.run(burst, max_jobs, max_idle_time)
                finally:
                    self.teardown()
        finally:
            self._supervisor = None
            if self._names is not None:
                self._names.release(self.name)
        return supervisor.worked

    def register_death(self) -> None:
        """Unregister; while `work` runs a store that is away, or a broken record, is no reason for an error."""
        if self._supervisor is None:
            super().register_death()
            return
        try:
            super().register_death()
        except redis.exceptions.RedisError as error:
            self.log.warning('Worker %s: could not unregister: %s', self.name, error)
            if is_wrong_type(error):
                self.connection.delete(self.key, self.executions_key)

    def _bootstrap_patiently(self, logging_level: str | None, date_format: str, log_format: str) -> None:
        """Register and listen, also where the store is killed in the middle of that."""
        end = time.monotonic() + _START_PATIENCE
        backoff = Backoff(0.1, 2.0)
        while True:
            try:
                self.bootstrap(logging_level, date_format, log_format)
                return
            except LOST as error:
                pause = backoff.next()
                if time.monotonic() + pause > end:
                    raise
                self.birth_date = None
                self.log.warning('Worker %s: the store went away at the start, trying again: %s', self.name, error)
                time.sleep(pause)

    def teardown(self) -> None:
        """Unregister and close what `work` opened."""
        if self._supervisor is not None:
            self._supervisor.before_teardown()
            if self.cron is not None:
                self.cron.stop()
                self.cron = None
        super().teardown()

    def run_maintenance_tasks(self) -> None:
        """Run RQ's maintenance; the scheduler is a part of this process and needs no look."""
        if self._supervisor is None:
            super().run_maintenance_tasks()
            return
        self.clean_registries()
        self.clean_group_registries()

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether it is time for maintenance; while `work` runs by a clock that nobody sets."""
        if self._supervisor is None or self.last_cleaned_at is None:
            return bool(super().should_run_maintenance_tasks)
        return self.maintenance.is_due(self.maintenance_interval)

    @property
    def maintenance(self) -> Maintenance:
        """What cleans up."""
        if self._maintenance is None:
            self._maintenance = Maintenance(self)
        return self._maintenance

    def clean_registries(self) -> None:
        """Run RQ's maintenance of each queue; while `work` runs, whoever has a job is asked first."""
        if self._supervisor is None:
            super().clean_registries()
            return
        self.maintenance.clean_queues(self._exc_handlers)
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def clean_group_registries(self) -> None:
        """Run RQ's maintenance of groups."""
        if self._supervisor is None:
            super().clean_group_registries()
            return
        guarded(self, 'maintenance of groups', super().clean_group_registries)

    def increment_failed_job_count(self, pipeline: Pipeline | None = None) -> None:
        """Count a failed job; what is recovered before this worker is registered is nobody's."""
        if self._supervisor is None or self.is_born:
            super().increment_failed_job_count(pipeline)

    def increment_total_working_time(self, job_execution_time: timedelta, pipeline: Pipeline) -> None:
        """Add to the time that this worker has worked, once it is registered."""
        if self._supervisor is None or self.is_born:
            super().increment_total_working_time(job_execution_time, pipeline)

    # Heartbeats

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return for how many seconds an execution is kept without a heartbeat."""
        if self.record is None and self._supervisor is None:
            return int(super().get_heartbeat_ttl(job, working_time))
        # How long it has worked is told by a clock that may have been set; a minute more does no harm.
        return max(self.shortest_lease, int(super().get_heartbeat_ttl(job)))

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives; while `work` runs only if its record is there, which a beat writes again."""
        if self.record is None and self._supervisor is None:
            super().heartbeat(timeout, pipeline)
        else:
            self.heart.touch(pipeline)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Say that this worker lives and runs the job."""
        if self._supervisor is None:
            super().maintain_heartbeats(job, execution)
        else:
            self.heart.maintain(job, execution, self._supervisor.process_of(execution))

    def _start_scheduler(
        self,
        burst: bool = False,
        logging_level: str | None = 'INFO',
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
    ) -> None:
        if burst or self._supervisor is None:
            super()._start_scheduler(burst, logging_level, date_format, log_format)
            return
        scheduler = InProcessScheduler(
            self.queues,
            connection=self.connection,
            logging_level=logging_level if logging_level is not None else self.log.level,
            date_format=date_format,
            log_format=log_format,
            serializer=self.serializer,
            name=self.name,
        )
        scheduler.use(self)
        scheduler.begin()
        scheduler.step()
        self.scheduler = scheduler

    def stop_scheduler(self) -> None:
        """Give back the scheduler's locks, or end RQ's scheduler process."""
        if isinstance(self.scheduler, InProcessScheduler):
            if self.scheduler.status != self.scheduler.Status.STOPPED:
                try:
                    self.scheduler.stop()
                except redis.exceptions.RedisError as error:
                    self.log.warning(
                        'Worker %s: the locks of its scheduler stay until they expire: %s', self.name, error
                    )
            return
        super().stop_scheduler()

    def subscribe(self) -> None:
        """Listen for commands: in the loop while it works, else in a thread as RQ does."""
        if self._supervisor is None:
            super().subscribe()
            return
        self.log.info('Worker %s: subscribing to channel %s', self.name, self.pubsub_channel_name)
        self._supervisor.listen(self.pubsub_channel_name)

    def unsubscribe(self) -> None:
        """Stop listening for commands."""
        if self._supervisor is None:
            super().unsubscribe()
            return
        self.log.info('Worker %s: unsubscribing from channel %s', self.name, self.pubsub_channel_name)
        self._supervisor.stop_listening()

    # Stopping

    def _install_signal_handlers(self) -> None:
        if self._supervisor is None:
            super()._install_signal_handlers()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Take no more jobs, and end when the running ones have ended.

        Raises:
            StopRequested: no job is running.
        """
        if self._supervisor is None:
            super().request_stop(signum, frame)
            return
        self.log.debug('Worker %s: got signal %s', self.name, signal_name(signum))
        self._shutdown_requested_date = now()
        self._asked_to_stop = time.monotonic()
        self.handle_warm_shutdown_request()
        running = self._supervisor.running
        if not running:
            raise StopRequested
        self._stop_requested = True
        self.log.info(
            'Worker %s: waiting for %d running job(s); another signal stops them at once', self.name, len(running)
        )
        try:
            self.set_shutdown_requested_date()
            if self.scheduler:
                self.stop_scheduler()
        except redis.exceptions.RedisError as error:
            self.log.warning('Worker %s: the store does not know of the stop: %s', self.name, error)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """End now, and take the running jobs down.

        Raises:
            SystemExit: always, unless it comes less than a second after the first request (RQ's rule: a terminal and
                a pool may both send one).
        """
        if self._supervisor is None:
            super().request_force_stop(signum, frame)
            return
        assert self._shutdown_requested_date is not None
        if time.monotonic() - self._asked_to_stop < 1.0:
            self.log.debug('Worker %s: shutdown signal ignored, received twice in less than 1 second', self.name)
            return
        self.log.warning('Worker %s: cold shut down', self.name)
        self._supervisor.stop_children('it was stopped together with its worker')
        raise SystemExit

    @property
    def horse_pid(self) -> int:
        """Process id of a running child; 0 if there is none."""
        if self._supervisor is not None:
            return next((child.pid for child in self._supervisor.running), 0)
        return self._horse_pid

    def kill_horse(self, sig: signal.Signals = SHUTDOWN_SIGNAL) -> None:
        """Kill all running children."""
        if self._supervisor is None:
            super().kill_horse(sig)
            return
        for child in self._supervisor.running:
            if child.kill(sig):
                self.log.info('Worker %s: killed horse pid %s', self.name, child.pid)

    def request_stop_execution(self, execution_id: str) -> None:
        """Stop one execution, on a command."""
        if self._supervisor is None:
            super().request_stop_execution(execution_id)
            return
        for child in self._supervisor.running:
            if child.assignment is not None and child.assignment.execution.id == execution_id:
                self._supervisor.stop_child(child)
                return
        self.log.warning('Not running execution %s, command ignored.', execution_id)

    def handle_payload(self, message: dict[str, Any]) -> None:
        """Handle a command from outside: RQ's, with any number of jobs running, and `children`."""
        if self._supervisor is None:
            super().handle_payload(message)
            return
        self.log.debug('Worker %s: received message: %s', self.name, message)
        try:
            payload = parse_payload(message)
            command = payload['command']
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.log.warning('Worker %s: not a command: %.100r', self.name, message.get('data'))
            return
        if command == 'stop-job':
            self._stop_job(payload.get('job_id'))
        elif command == 'children':
            self._set_children(payload.get('children'))
        else:
            handle_command(self, payload)

    def _stop_job(self, job_id: str | None) -> None:
        assert self._supervisor is not None
        children = [child for child in self._supervisor.running if child.job_id == job_id]
        for child in children:
            self._supervisor.stop_child(child)
        if not children:
            self.log.warning('Not working on job %s, command ignored.', job_id)

    def _set_children(self, number: object) -> None:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            self.log.warning('Worker %s: not a number of children: %r', self.name, number)
            return
        assert self._supervisor is not None
        self._supervisor.set_max_children(number)

    # One job

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job: in a child beside others while `work` runs, else in the foreground as RQ does."""
        if self._supervisor is None:
            super().execute_job(job, queue)
        else:
            self._supervisor.start_job(job, queue)

    def become_child(self, task: Task, slot: Slot, execution: Execution, job: Job) -> None:
        """Be the child that runs this task and nothing else."""
        self._supervisor = None
        self.record = Record(self, task, slot, execution, job)
        self.executions = {execution.id: execution}
        self._executions = []

    def become_settler(self) -> None:
        """Be the child that handles the end of a job whose own process went away."""
        self._supervisor = None
        self.executions = {}
        self._executions = []

    def parent_of(self, usage: dict[str, Any] | None) -> None:
        """Note what an ended child has used, for the next record of its job."""
        self._usage = usage

    def take_over(self, job: Job, queue: Queue, execution: Execution, ending: Ending) -> bool:
        """Handle the end of a job that another worker had; returns whether this worker's loop will do it."""
        if self._supervisor is None:
            return False
        raw: dict[bytes, bytes] = self.connection.hgetall(job.key)  # type: ignore[assignment]
        claim = Claim(queue.key, job.id, execution.id, raw, execution.created_at.timestamp())
        with self.connection.pipeline() as pipeline:
            # Whoever looks meanwhile sees that it is in good hands; should this worker die too, the next one finds it.
            pipeline.hset(job.key, 'worker_name', self.name)
            if self.connection.exists(execution.key):
                pipeline.sadd(self.executions_key, execution.composite_key)
                pipeline.hset(execution.key, 'worker_name', self.name)
            pipeline.execute(raise_on_error=False)
        # RQ takes it off the list of the worker that it names.
        execution.worker_name = self.name
        assignment = Assignment(claim, queue, execution, claim.sealed_job(self), Task(claim, execution.id, True))
        assignment.job.started_at = execution.created_at
        self._supervisor.settle(assignment, ending)
        return True

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run the job in this child.

        Raises:
            SystemExit: with code 1, if something outside of the job's own handling raised.
        """
        if self.record is None:
            super().main_work_horse(job, queue)
            return
        # Python gives `random` a seed of its own in every fork.
        if self.touched is None:
            forget_handlers()
        else:
            self.setup_work_horse_signals()
        self._is_horse = True
        try:
            execution = self.execution
            assert execution is not None
            self.record.began(job)
            self.perform_job(job, queue, execution)
        except BaseException as error:
            if not isinstance(error, SystemExit):
                self.log.debug('Worker %s: child failed', self.name, exc_info=True)
            raise SystemExit(1) from error

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Mark the job as started, unless the store says so already."""
        if self.record is None:
            super().prepare_job_execution(job, remove_from_intermediate_queue)
        elif not self.record.task.prepared:
            # The job was moved there whatever the number of queues.
            super().prepare_job_execution(job, remove_from_intermediate_queue=True)
        elif self.touched is not None:
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
        if job._status != JobStatus.FAILED and not job._success_callback_name and self.touched is None:
            # The next thing written is the success itself, with this time in it.
            job.ended_at = job.last_heartbeat = now()
            return
        try:
            super().handle_execution_ended(job, queue, heartbeat_ttl)
        except Exception as error:
            # How the job ended is written next, and does not depend on this.
            self.log.debug('Worker %s: no heartbeat at the end of job %s: %s', self.name, job.id, error)

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Write down that the job succeeded, or leave that to the supervisor."""
        record = self.record
        if record is None:
            super().handle_job_success(job, queue, started_job_registry, execution)
            return
        if record.leaves_success(job):
            self.executions.pop(execution.id, None)
            return
        handle = super().handle_job_success

        def write() -> None:
            if self.touched is None and self._write_in_one_step(job, execution, False):
                self.executions.pop(execution.id, None)
                self._log_success(job)
                return
            try:
                handle(job, queue, started_job_registry, execution)
            except Exception as error:
                if is_about_the_store(error) or not set_aside_dependents(self, job):
                    raise
                handle(job, queue, started_job_registry, execution)

        record.success(job, write)

    def handle_job_retry(
        self,
        job: Job,
        queue: Queue,
        retry: Retry,
        started_job_registry: StartedJobRegistry,
        execution: Execution,
    ) -> None:
        """Write down that the job returned a Retry, or leave that to the supervisor."""
        handle = super().handle_job_retry
        if self.record is None:
            handle(job, queue, retry, started_job_registry, execution)
            return
        self.record.retry(job, retry, lambda: handle(job, queue, retry, started_job_registry, execution))

    def is_simple(self, job: Job) -> bool:
        """Say whether nothing but the job itself changes when it succeeds."""
        return (
            not job.repeats_left
            and not job.has_rate_limit
            and not job.group_id
            and job.get_result_ttl(self.default_result_ttl) != 0
        )

    def _write_in_one_step(self, job: Job, execution: Execution, again: bool) -> bool:
        return self.is_simple(job) and self.bookkeeper.succeed(
            job, execution, job.get_result_ttl(self.default_result_ttl), self._own_fields(), repetition=again
        )

    def write_reported_success(self, job: Job, queue: Queue, execution: Execution, report: Report, again: bool) -> None:
        """Write down a success that a child told of.

        Args:
            job: the job as it was when it was taken.
            queue: its queue.
            execution: the execution that ended.
            report: what the child told.
            again: it may have been written already.
        """
        job.worker_name = self.name
        job.started_at = datetime.fromtimestamp(report.started_at, tz=timezone.utc)
        job.ended_at = job.last_heartbeat = datetime.fromtimestamp(report.ended_at, tz=timezone.utc)
        if report.result is None:
            job._result = None
        else:
            # Opened only in a child, where the application's code is called with it.
            sealed = isinstance(job.serializer, SealedSerializer)
            job._result = Sealed(report.result) if sealed else job.serializer.loads(report.result)
        if self.touched is None and self._write_in_one_step(job, execution, again):
            self._log_success(job)
            return
        if again and not self.connection.exists(execution.key):
            # The transaction was carried out, only its answer was lost: what follows it is still to be done.
            enqueue_ready(self)
            self._release_slot_safely(job)
            return
        self.handle_job_success(job, queue, queue.started_job_registry, execution)
        # It has dependents, and RQ may have left some of them.
        enqueue_ready(self)

    def _log_success(self, job: Job) -> None:
        assert job.started_at is not None
        assert job.ended_at is not None
        taken = job.ended_at - job.started_at
        if self.log_job_description:
            self.log.info('Successfully completed %s job in %ss on worker %s', job.description, taken, self.name)
        else:
            self.log.info('Successfully completed job %s in %ss on worker %s', job.id, taken, self.name)

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
        if record is None or execution is None:
            handle(job, queue, started_job_registry, exc_string, execution)
            return
        record.failure(job, exc_string, lambda: handle(job, queue, started_job_registry, exc_string, execution))

    def _finalize_failure(self, job: Job, queue: Queue, execution: Execution, exc_info: _ExcInfo) -> None:
        record = self.record
        if record is not None:
            record.end_if_copied()
            if self.memory_limit is not None:
                exc_info = self._explain_memory(exc_info, self.memory_limit)
            record.raised(job, format_exc_info(exc_info))
        super()._finalize_failure(job, queue, execution, exc_info)

    @staticmethod
    def _explain_memory(exc_info: _ExcInfo, limit: int) -> _ExcInfo:
        limits.unlimit_memory()
        error = exc_info[1]
        if not isinstance(error, MemoryError):
            return exc_info
        exceeded = limits.JobMemoryExceeded(f'the job asked for more than the {limit >> 20} MiB that it may have')
        exceeded.__cause__ = error
        return limits.JobMemoryExceeded, exceeded, error.__traceback__

    # What a job used

    def cleanup_execution(self, job: Job, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """Forget the execution, and write down with the job what it used."""
        super().cleanup_execution(job, pipeline, execution)
        usage = self._known_usage()
        if usage is None or execution is None or usage.get('execution') != execution.id:
            return
        if job._status == JobStatus.FINISHED and job.get_result_ttl(self.default_result_ttl) == 0:
            # The job was deleted in this very pipeline.
            return
        fields: dict[Any, Any] = self._own_fields()
        pipeline.hset(job.key, mapping=fields)

    def _known_usage(self) -> dict[str, Any] | None:
        if self.record is not None:
            return {**self.record.usage(), 'raw': self.record.task.claim.raw}
        return self._usage

    def _own_fields(self) -> dict[str, str]:
        """Return the fields of a job that are this package's: what its executions used."""
        usage = dict(self._known_usage() or {})
        raw = usage.pop('raw', None)
        fields = {'usage': encode_list([*decode_list(raw.get(b'usage')), usage])} if raw is not None else {}
        if raw and raw.get(b'crashes') and usage['exit'] == 0:
            # What is counted is how often in a row it took its process down.
            fields['crashes'] = '[]'
        return fields


# Where one of these was replaced by a subclass, a test or an agent, RQ's own way is taken, in which all are called.
_STARTING = ('execute_job', 'perform_job', 'prepare_execution', 'prepare_job_execution', 'get_heartbeat_ttl')
