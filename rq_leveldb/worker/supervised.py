"""RQ's worker as far as its supervisor goes: what its methods do in the worker's own process while `work` runs."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType, FunctionType
from typing import Any, TypeVar

import redis.exceptions
from redis.client import Pipeline
from rq.command import handle_command, parse_payload
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.utils import now
from rq.worker.base import SHUTDOWN_SIGNAL, signal_name

from rq_leveldb.process import identify
from rq_leveldb.records import CHILDREN_COMMAND, LOOK_COMMAND
from rq_leveldb.unreadable import is_wrong_type

from .found import read_fields
from .performing import PerformingWorker
from .record import Record
from .scheduler import InProcessScheduler
from .supervisor import Supervisor
from .trouble import guarded

__all__ = ['SupervisedWorker']

# Seconds that the last worker of the same name gets to end.
_NAME_PATIENCE = 1.0

Class = TypeVar('Class', bound=type)


def _only_while_supervised(cls: Class) -> Class:
    """Have what a class overrides count only while there is a supervisor; else what its base has counts."""
    for name, method in list(vars(cls).items()):
        if isinstance(method, FunctionType) and hasattr(cls.__base__, name) and name not in _AT_ANY_TIME:
            setattr(cls, name, _supervised_or_not(cls, name, method))
    return cls


def _supervised_or_not(cls: type, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: SupervisedWorker, *args: Any, **kwargs: Any) -> Any:
        if self._supervisor is None:
            return getattr(super(cls, self), name)(*args, **kwargs)
        return method(self, *args, **kwargs)

    return call


_AT_ANY_TIME = ('become_child',)


@_only_while_supervised
class SupervisedWorker(PerformingWorker):
    """What a worker does while a supervisor runs it. At any other time each of these methods does what RQ's does.

    That is outside of `work`, and in the children.
    """

    _supervisor: Supervisor | None = None
    _asked_to_stop = 0.0
    _stored_state = ''

    @property
    def supervisor(self) -> Supervisor:
        """What runs it."""
        assert self._supervisor is not None
        return self._supervisor

    def become_child(self, *executions: Execution, record: Record | None = None) -> None:
        """Become the child that has only these executions; arguments as for the base class."""
        self._supervisor = None
        super().become_child(*executions, record=record)

    # Registration

    def register_birth(self) -> None:
        """Register; a dead worker of the same name is buried first.

        Raises:
            ValueError: a live worker has this name.
        """
        if not self._take_name():
            raise ValueError(f'There exists an active worker named {self.name!r} already')
        if self._is_own_record():
            # An earlier attempt was carried out, but its reply was lost.
            self.connection.delete(self.key)
        recovery = self.supervisor.recovery
        recovery.free_name()
        recovery.run()
        recovery.recover_everything_started()
        if not self.connection.hexists(self.key, 'birth'):
            # Half a record, which RQ would take for a live worker.
            self.connection.delete(self.key)
        super().register_birth()
        self.site.registered = True

    def _is_own_record(self) -> bool:
        me = identify()
        # With a `death` it is the record of an earlier `work` of this process, which ended normally.
        fields = read_fields(self.connection, self.key, ('pid', 'started', 'boot_id', 'death')) or {}
        return fields == {'pid': str(me.pid), 'started': me.started, 'boot_id': me.boot_id}

    def _take_name(self) -> bool:
        """Lock the own name, on a store; returns False if another holds it."""
        locks = self.site.locks
        if locks is None:
            return True
        # The worker that had it may be just about to end.
        end = time.monotonic() + _NAME_PATIENCE
        try:
            while not locks.hold(self.name):
                if time.monotonic() > end:
                    return False
                time.sleep(0.01)
        except OSError as error:
            self.site.log.warning(
                'its name could not be locked: %s; other workers will check its process id instead', error
            )
        return True

    def register_death(self) -> None:
        """Unregister; a store that is away, or a broken record, is no reason for an error."""
        try:
            super().register_death()
        except redis.exceptions.RedisError as error:
            self.site.log.warning('could not unregister: %s', error)
            if is_wrong_type(error):
                self.connection.delete(self.key, self.executions_key)

    def teardown(self) -> None:
        """Unregister and close what `work` opened."""
        self.supervisor.before_teardown()
        super().teardown()

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Set the state; nothing is sent where the store says so already."""
        if pipeline is None:
            if self._stored_state == state:
                return
            self._stored_state = state
        super().set_state(state, pipeline=pipeline)

    def state_is_stored(self, state: str) -> None:
        """Note that the store already has this state."""
        self._state = self._stored_state = state

    def increment_failed_job_count(self, pipeline: Pipeline | None = None) -> None:
        """Count a failed job; those recovered before this worker is registered do not count."""
        if self.site.registered:
            super().increment_failed_job_count(pipeline)

    def increment_total_working_time(self, job_execution_time: timedelta, pipeline: Pipeline) -> None:
        """Add to the time that this worker has worked, once it is registered."""
        if self.site.registered:
            super().increment_total_working_time(job_execution_time, pipeline)

    # Jobs

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job in a child, beside others."""
        self.supervisor.start_job(job, queue)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Write that this worker lives and runs the job."""
        self.heart.maintain(job, execution, self.supervisor.process_of(execution))

    @property
    def horse_pid(self) -> int:
        """Process id of a running child; 0 if there is none."""
        if self._supervisor is not None:
            return next((child.pid for child in self._supervisor.running), 0)
        return self._horse_pid

    # Maintenance and schedules

    def run_maintenance_tasks(self) -> None:
        """Run RQ's maintenance; the scheduler is a part of this process and needs no look."""
        self.clean_registries()
        self.clean_group_registries()

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether it is time for maintenance; while `work` runs by a clock that nobody sets."""
        if self._supervisor is None or self.last_cleaned_at is None:
            return bool(super().should_run_maintenance_tasks)
        return self._supervisor.maintenance.is_due(self.maintenance_interval)

    def clean_registries(self) -> None:
        """Run RQ's maintenance of each queue, after checking which workers live."""
        self.supervisor.maintenance.clean_queues(self._exc_handlers)
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def clean_group_registries(self) -> None:
        """Run RQ's maintenance of groups."""
        guarded(self.site, 'maintenance of groups', super().clean_group_registries)

    def _start_scheduler(
        self,
        burst: bool = False,
        logging_level: str | None = 'INFO',
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
    ) -> None:
        if burst:
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
        scheduler.use(self.site)
        scheduler.begin()
        scheduler.step()
        self.scheduler = scheduler

    def stop_scheduler(self) -> None:
        """Give back the scheduler's locks, or end RQ's scheduler process."""
        if not isinstance(self.scheduler, InProcessScheduler):
            super().stop_scheduler()
        elif self.scheduler.status != self.scheduler.Status.STOPPED:
            try:
                self.scheduler.stop()
            except redis.exceptions.RedisError as error:
                self.site.log.warning('the locks of its scheduler could not be released and will expire: %s', error)

    # Commands from outside

    def subscribe(self) -> None:
        """Listen for commands, in the loop."""
        self.site.log.info('subscribing to channel %s', self.pubsub_channel_name)
        self.supervisor.listen(self.pubsub_channel_name)

    def unsubscribe(self) -> None:
        """Stop listening for commands."""
        self.site.log.info('unsubscribing from channel %s', self.pubsub_channel_name)
        self.supervisor.stop_listening()

    def handle_payload(self, message: dict[str, Any]) -> None:
        """Handle a command from outside: RQ's, with any number of jobs running, `children` and `look`."""
        self.site.log.debug('received message: %s', message)
        try:
            payload = parse_payload(message)
            command = payload['command']
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.site.log.warning('not a command: %.100r', message.get('data'))
            return
        if command == 'stop-job':
            self._stop_job(payload.get('job_id'))
        elif command == CHILDREN_COMMAND:
            self._set_children(payload.get('children'))
        elif command == LOOK_COMMAND:
            self.supervisor.look_for_pauses()
        else:
            handle_command(self, payload)

    def _stop_job(self, job_id: str | None) -> None:
        children = [child for child in self.supervisor.running if child.job_id == job_id]
        for child in children:
            child.stop()
        if not children:
            self.log.warning('Not working on job %s, command ignored.', job_id)

    def _set_children(self, number: object) -> None:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            self.site.log.warning('not a number of children: %r', number)
            return
        self.supervisor.set_max_children(number)

    def kill_horse(self, sig: signal.Signals = SHUTDOWN_SIGNAL) -> None:
        """Kill all running children."""
        for child in self.supervisor.running:
            if child.kill(sig):
                self.site.log.info('killed horse pid %s', child.pid)

    def request_stop_execution(self, execution_id: str) -> None:
        """Stop one execution, on a command."""
        child = self.supervisor.find(execution_id)
        if child is not None:
            child.stop()
        else:
            self.log.warning('Not running execution %s, command ignored.', execution_id)

    # Stopping

    def _install_signal_handlers(self) -> None:
        """Leave the handlers to the supervisor: `signals`."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Take no more jobs, and end when the running ones have ended.

        Raises:
            StopRequested: no job is running.
        """
        self.site.log.debug('got signal %s', signal_name(signum))
        self._shutdown_requested_date = now()
        self._asked_to_stop = time.monotonic()
        self.handle_warm_shutdown_request()
        running = self.supervisor.running
        if not running:
            raise StopRequested
        self._stop_requested = True
        self.site.log.info('waiting for %d running job(s); another signal stops them at once', len(running))
        try:
            self.set_shutdown_requested_date()
            if self.scheduler:
                self.stop_scheduler()
        except redis.exceptions.RedisError as error:
            self.site.log.warning('the stop could not be written to the store: %s', error)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """End now, and take the running jobs down.

        Raises:
            SystemExit: always, unless it comes less than a second after the first request (RQ's rule: a terminal and
                a pool may both send one).
        """
        if time.monotonic() - self._asked_to_stop < 1.0:
            self.site.log.debug('shutdown signal ignored, received twice in less than 1 second')
            return
        self.site.log.warning('cold shut down')
        self.supervisor.end_children('it was stopped together with its worker')
        raise SystemExit
