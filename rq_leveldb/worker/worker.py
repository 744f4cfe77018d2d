"""The contract with RQ: RQ's worker, with at most N jobs at once, each in a process of its own.

Everything that RQ's worker can be asked from outside keeps its meaning. Outside of `work()` this class behaves as
RQ's does, one job at a time in the foreground; inside, a `Supervisor` runs the show and calls the methods here.
"""

from __future__ import annotations

import gc
import importlib
import operator
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import redis.exceptions
import rq.worker
from rq.command import handle_command, parse_payload
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.utils import now
from rq.worker import DequeueStrategy
from rq.worker.base import SHUTDOWN_SIGNAL, signal_name

from rq_leveldb.api import DefaultConnection
from rq_leveldb.client.default_place import default_place
from rq_leveldb.process import Identity, identify, prepare_to_fork

from . import limits
from .bookkeeping import Bookkeeper, Sealed, SealedSerializer, decode_list, encode_list, mark_started
from .child import LARGEST_RESULT, Success
from .recovery import Recovery, identity_fields
from .rehearsal import rehearse
from .scheduler import InProcessScheduler, WorkerCron
from .settings import Hook, Settings
from .supervisor import Supervisor

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from redis.client import Pipeline
    from rq.registry import StartedJobRegistry

    from .child import Task
    from .services import Service
    from .status_line import StatusLine

__all__ = ['Worker']

_ExcInfo = tuple['type[BaseException] | None', 'BaseException | None', 'TracebackType | None']

_NEEDED_IN_CHILDREN = ('rq.group', 'rq.rate_limit', 'rq.repeat', 'rq.webhook', 'asyncio')

# How long a child goes on trying to write down what its job did when the store is away. Longer than a store needs to
# be started again and to read its log; the job's own time-out does not count here.
_PERSISTENCE = 30.0


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
        self._task: Task | None = None
        self._usage: dict[str, Any] | None = None
        self._loaded: tuple[Any, ...] = ()
        self.unwritten_success: Success | None = None
        self._stored_state = ''
        self._queues_by_key: dict[str, Queue] = {}
        super().__init__(queues, *args, **kwargs)

    # Identity and registration

    def serialize(self) -> dict[str, Any]:
        """Return what stands in the store about this worker; RQ's fields, and by which its death can be told."""
        fields: dict[str, Any] = super().serialize()
        if self.pid == os.getpid():
            self.identity = identify()
            fields.update(identity_fields(self.identity))
            fields['max_children'] = self.settings.max_children
            fields['cron'] = self._cron_path or ''
        return fields

    def register_birth(self) -> None:
        """Register; a dead worker of the same name is buried first.

        Raises:
            ValueError: a live worker has this name.
        """
        if self._supervisor is not None:
            self.recovery.run()
            self.recovery.recover_expired(self.queues)
            if not self.connection.hexists(self.key, 'birth'):
                # Recovery has counted failures there, and RQ would take it for a live worker.
                self.connection.delete(self.key)
        super().register_birth()

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

    def is_plain(self) -> bool:
        """Say whether jobs start as this class starts them, so that it can be done in one step."""
        return all(
            getattr(type(self), name) is method and name not in self.__dict__ for name, method in _OWN_METHODS.items()
        )

    def call_hooks(self, hooks: list[Hook]) -> None:
        """Call the application's functions, in order."""
        for hook in hooks:
            hook()

    def prepare_to_fork(self) -> None:
        """Do what is to be done once, before the first fork: what is imported here need not be in every child."""
        for module in _NEEDED_IN_CHILDREN:
            importlib.import_module(module)
        self.get_redis_server_version()
        prepare_to_fork()
        self.call_hooks(self.settings.before_first_fork)
        # The collector writes to what it visits; what it does not visit stays shared with the children.
        gc.freeze()

    def after_first_fork(self) -> None:
        """Do what makes the further forks cheaper, and need not be done before there is a first child."""
        rehearse(self)
        gc.freeze()

    def preload(self, module: str) -> bool:
        """Import a module that jobs need, so that the children need not.

        Returns:
            Whether it was imported, and not before.
        """
        if module in sys.modules:
            return False
        try:
            importlib.import_module(module)
        except Exception as error:
            self.log.warning('Worker %s: %s could not be preloaded: %s', self.name, module, error)
            return False
        self.log.info('Worker %s: preloaded %s', self.name, module)
        gc.freeze()
        return True

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
            SystemExit: it was told to stop at once.
        """
        supervisor = self._supervisor = Supervisor(self)
        self._stored_state = ''
        try:
            with default_place(self.connection), supervisor:
                self.bootstrap(logging_level, date_format, log_format)
                self._stored_state = self._state
                self._dequeue_strategy = dequeue_strategy
                if with_scheduler:
                    self._start_scheduler(burst, logging_level, date_format, log_format)
                if self._cron_path is not None:
                    level = logging_level if logging_level is not None else self.log.level
                    self.cron = WorkerCron(self.connection, self._cron_path, self.name, level)
                try:
                    supervisor.run(burst, max_jobs, max_idle_time)
                finally:
                    self.teardown()
        finally:
            self._supervisor = None
        return supervisor.worked

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
        scheduler.use(self.connection)
        scheduler.begin()
        scheduler.step()
        self.scheduler = scheduler

    def stop_scheduler(self) -> None:
        """Give back the scheduler's locks, or end RQ's scheduler process."""
        if isinstance(self.scheduler, InProcessScheduler):
            if self.scheduler.status != self.scheduler.Status.STOPPED:
                self.scheduler.stop()
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
        if now() - self._shutdown_requested_date < timedelta(seconds=1):
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
            if child.execution is not None and child.execution.id == execution_id:
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
        except (ValueError, KeyError, TypeError, AttributeError):
            self.log.warning('Worker %s: not a command: %r', self.name, message.get('data'))
            return
        if command == 'stop-job':
            self._stop_job(payload.get('job_id'))
        elif command == 'children':
            self._set_children(payload.get('children'))
        else:
            handle_command(self, payload)

    def _stop_job(self, job_id: str | None) -> None:
        assert self._supervisor is not None
        children = [child for child in self._supervisor.running if child.claim and child.claim.job_id == job_id]
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

    def become_child(self, task: Task, execution: Execution, job: Job) -> None:
        """Be the child that runs this task and nothing else."""
        self._supervisor = None
        self._task = task
        self._loaded = _saved_attributes(job)
        self.unwritten_success = None
        self.executions = {execution.id: execution}
        self._executions = []
        self._usage = {'execution': execution.id, 'worker': self.name, 'started': time.time()}

    def parent_of(self, usage: dict[str, Any] | None) -> None:
        """Note what an ended child has used, for the next record of its job."""
        self._usage = usage

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run the job in this child.

        Raises:
            SystemExit: with code 1, if something outside of the job's own handling raised.
        """
        if self._task is None:
            super().main_work_horse(job, queue)
            return
        random.seed()
        self.setup_work_horse_signals()
        self._is_horse = True
        try:
            execution = self.execution
            assert execution is not None
            self.perform_job(job, queue, execution)
        except BaseException as error:
            if not isinstance(error, SystemExit):
                self.log.debug('Worker %s: child failed', self.name, exc_info=True)
            raise SystemExit(1) from error

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        """Mark the job as started, unless the store says so already."""
        task = self._task
        if task is None:
            super().prepare_job_execution(job, remove_from_intermediate_queue)
        elif not task.prepared:
            # The job was moved there whatever the number of queues.
            super().prepare_job_execution(job, remove_from_intermediate_queue=True)
        else:
            mark_started(job, self.name)
            self.procline(f'Processing {job.func_name} from {job.origin} since {time.time()}')

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:
        """Note when the job ended."""
        if self._task is not None and job._status != JobStatus.FAILED and not job._success_callback_name:
            # The next thing written is the success itself, with this time in it.
            job.ended_at = job.last_heartbeat = now()
            return
        ended = super().handle_execution_ended
        self._persist(lambda again: ended(job, queue, heartbeat_ttl))

    def handle_job_success(
        self, job: Job, queue: Queue, started_job_registry: StartedJobRegistry, execution: Execution
    ) -> None:
        """Write down that the job succeeded, once, even if the store goes away and comes back meanwhile."""
        if self._task is None:
            super().handle_job_success(job, queue, started_job_registry, execution)
            return
        self._persist(lambda again: self._write_success(job, queue, started_job_registry, execution, again))

    def _write_success(
        self, job: Job, queue: Queue, started: StartedJobRegistry, execution: Execution, again: bool
    ) -> None:
        if not again and self._leave_to_parent(job):
            self.executions.pop(execution.id, None)
            self._log_success(job)
            return
        if self._write_in_one_step(job, execution, again):
            self.executions.pop(execution.id, None)
            self._log_success(job)
            return
        if again and not self.connection.exists(execution.key):
            # The transaction was carried out, only its answer was lost: what follows it is still to be done.
            queue.ready_job_registry.cleanup()
            self._release_slot_safely(job)
            return
        super().handle_job_success(job, queue, started, execution)

    def _leave_to_parent(self, job: Job) -> bool:
        """Note a success that the parent can write down as well; returns whether it can."""
        if job.webhooks or not self._is_simple(job) or _saved_attributes(job) != self._loaded:
            return False
        result = None
        if job._result is not None:
            try:
                result = job.serializer.dumps(job._result)
            except Exception:
                return False
            if not isinstance(result, bytes) or len(result) > LARGEST_RESULT:
                return False
        assert job.started_at is not None
        assert job.ended_at is not None
        self.unwritten_success = Success(job.started_at, job.ended_at, result, self._measure())
        return True

    def _is_simple(self, job: Job) -> bool:
        return (
            not job.repeats_left
            and not job.has_rate_limit
            and not job.group_id
            and job.get_result_ttl(self.default_result_ttl) != 0
        )

    def _write_in_one_step(self, job: Job, execution: Execution, again: bool) -> bool:
        return self._is_simple(job) and self.bookkeeper.succeed(
            job, execution, job.get_result_ttl(self.default_result_ttl), self._own_fields(), repetition=again
        )

    def write_reported_success(
        self, job: Job, queue: Queue, execution: Execution, success: Success, again: bool
    ) -> None:
        """Write down, in the parent, what a child told of its job.

        Args:
            job: the job as it was when it was taken.
            queue: its queue.
            execution: the execution that ended.
            success: what the child told.
            again: an earlier call may have been carried out.
        """
        job.worker_name = self.name
        job.started_at = success.started_at
        job.ended_at = job.last_heartbeat = success.ended_at
        job.serializer = SealedSerializer(job.serializer)
        job._result = None if success.result is None else Sealed(success.result)
        if self._write_in_one_step(job, execution, again):
            return
        if again and not self.connection.exists(execution.key):
            queue.ready_job_registry.cleanup()
            return
        super().handle_job_success(job, queue, queue.started_job_registry, execution)

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
        """Write down that the job failed; in a child also if the store goes away and comes back meanwhile."""
        if self._task is None or execution is None:
            super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)
            return
        handle = super().handle_job_failure

        def write(again: bool) -> None:
            if again and not self.connection.exists(execution.key):
                return
            retries_left = job.retries_left
            handle(job, queue, started_job_registry, exc_string, execution)
            # RQ logs a transaction that could not be carried out, and goes on.
            if self.connection.exists(execution.key):
                job.retries_left = retries_left
                raise redis.exceptions.ConnectionError('the failure was not written')

        self._persist(write)

    def _persist(self, write: Callable[[bool], None]) -> None:
        again = False
        end = time.monotonic() + _PERSISTENCE
        pause = 0.05
        while True:
            try:
                write(again)
                return
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
                if time.monotonic() + pause > end:
                    raise
                self.log.warning('Worker %s: the store is away, trying again: %s', self.name, error)
                time.sleep(pause)
                pause = min(pause * 2, 1.0)
                again = True

    def _finalize_failure(self, job: Job, queue: Queue, execution: Execution, exc_info: _ExcInfo) -> None:
        task = self._task
        if task is not None and task.memory is not None:
            limits.unlimit_memory()
            error = exc_info[1]
            if isinstance(error, MemoryError):
                size = task.memory >> 20
                exceeded = limits.JobMemoryExceeded(f'the job asked for more than the {size} MiB that it may have')
                exceeded.__cause__ = error
                exc_info = (limits.JobMemoryExceeded, exceeded, error.__traceback__)
        super()._finalize_failure(job, queue, execution, exc_info)

    # What a job used

    def cleanup_execution(self, job: Job, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """Forget the execution, and write down with the job what it used."""
        super().cleanup_execution(job, pipeline, execution)
        if self._usage is None or execution is None or self._usage.get('execution') != execution.id:
            return
        if job._status == JobStatus.FINISHED and job.get_result_ttl(self.default_result_ttl) == 0:
            # The job was deleted in this very pipeline.
            return
        fields: dict[Any, Any] = self._own_fields()
        pipeline.hset(job.key, mapping=fields)

    def _own_fields(self) -> dict[str, str]:
        """Return the fields of a job that are this package's: what its executions used."""
        if self._usage is None:
            return {}
        usage = dict(self._measure())
        raw = usage.pop('raw', None)
        if self._task is not None:
            raw = self._task.claim.raw
        fields = {'usage': encode_list([*decode_list(raw.get(b'usage')), usage])} if raw is not None else {}
        if raw and raw.get(b'crashes') and usage['exit'] == 0:
            # What is counted is how often in a row it took its process down.
            fields['crashes'] = '[]'
        return fields

    def _measure(self) -> dict[str, Any]:
        assert self._usage is not None
        if self._task is None:
            return self._usage
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **self._usage,
            'wall': round(time.time() - self._usage['started'], 6),
            'cpu': round(used.ru_utime + used.ru_stime, 6),
            'memory': used.ru_maxrss * _RSS_UNIT,
            'exit': 0,
        }


# getrusage(2): kilobytes on Linux, bytes on macOS.
_RSS_UNIT = 1 if sys.platform == 'darwin' else 1024

# What RQ writes again of a job when it has succeeded: if a job changed one of them in itself, that has to be kept.
_saved_attributes = operator.attrgetter(
    'created_at',
    '_data',
    '_success_callback_name',
    '_failure_callback_name',
    '_stopped_callback_name',
    '_success_callback_timeout',
    '_failure_callback_timeout',
    '_stopped_callback_timeout',
    'group_id',
    'number_of_retries',
    'retries_left',
    'retry_intervals',
    'enqueue_at_front_on_retry',
    'origin',
    'description',
    'enqueued_at',
    'repeats_left',
    'repeat_intervals',
    'rate_limit_key',
    'rate_limit_concurrency',
    '_exc_info',
    'timeout',
    'webhooks',
    'result_ttl',
    'failure_ttl',
    '_dependency_ids',
    'ttl',
    'allow_dependency_failures',
    'enqueue_at_front',
)

# Where one of these was replaced by a subclass or a test, RQ's own way is taken, in which they are all called.
_OWN_METHODS = {
    name: getattr(Worker, name)
    for name in ('execute_job', 'perform_job', 'prepare_execution', 'prepare_job_execution', 'get_heartbeat_ttl')
}
