"""RQ without Redis: background jobs on one machine, stored in LevelDB.

Each public name is loaded when it is first used, so that the store can start without RQ and redis-py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rq_leveldb.version import __version__

if TYPE_CHECKING:
    from rq.callbacks import Callback
    from rq.command import (
        send_kill_horse_command,
        send_shutdown_command,
        send_stop_execution_command,
        send_stop_job_command,
    )
    from rq.cron import CronJob, CronScheduler
    from rq.exceptions import (
        DeserializationError,
        DuplicateJobError,
        InvalidJobDependency,
        InvalidJobOperation,
        NoSuchGroupError,
        NoSuchJobError,
        ShutDownImminentException,
    )
    from rq.executions import Execution
    from rq.group import Group
    from rq.job import Dependency, Job, JobStatus, Retry, cancel_job, get_current_job, requeue_job
    from rq.queue import EnqueueData
    from rq.rate_limit import RateLimit
    from rq.registry import (
        CanceledJobRegistry,
        DeferredJobRegistry,
        FailedJobRegistry,
        FinishedJobRegistry,
        ScheduledJobRegistry,
        StartedJobRegistry,
        clean_registries,
    )
    from rq.repeat import Repeat
    from rq.results import Result
    from rq.serializers import DefaultSerializer, JSONSerializer
    from rq.suspension import is_suspended, resume, suspend
    from rq.timeouts import JobTimeoutException
    from rq.webhook import Webhook
    from rq.worker import DequeueStrategy, WorkerStatus
    from rq.worker_pool import WorkerPool

    from rq_leveldb.api import Queue, SimpleWorker, SpawnWorker, default_connection, job
    from rq_leveldb.client.aio import AsyncRedis
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.client.keeper import unix_url
    from rq_leveldb.client.named_pool import ConnectionPool
    from rq_leveldb.client.options import UnusedSettingWarning
    from rq_leveldb.client.retry import StoreUnavailable
    from rq_leveldb.errors import StoreError
    from rq_leveldb.job_progress import progress
    from rq_leveldb.worker import Worker

__all__ = [
    'AsyncRedis',
    'Callback',
    'CanceledJobRegistry',
    'ConnectionPool',
    'CronJob',
    'CronScheduler',
    'DefaultSerializer',
    'DeferredJobRegistry',
    'Dependency',
    'DequeueStrategy',
    'DeserializationError',
    'DuplicateJobError',
    'EnqueueData',
    'Execution',
    'FailedJobRegistry',
    'FinishedJobRegistry',
    'Group',
    'InvalidJobDependency',
    'InvalidJobOperation',
    'JSONSerializer',
    'Job',
    'JobStatus',
    'JobTimeoutException',
    'NoSuchGroupError',
    'NoSuchJobError',
    'Queue',
    'RateLimit',
    'Redis',
    'Repeat',
    'Result',
    'Retry',
    'ScheduledJobRegistry',
    'ShutDownImminentException',
    'SimpleWorker',
    'SpawnWorker',
    'StartedJobRegistry',
    'StoreError',
    'StoreUnavailable',
    'UnusedSettingWarning',
    'Webhook',
    'Worker',
    'WorkerPool',
    'WorkerStatus',
    '__version__',
    'cancel_job',
    'clean_registries',
    'default_connection',
    'get_current_job',
    'is_suspended',
    'job',
    'progress',
    'requeue_job',
    'resume',
    'send_kill_horse_command',
    'send_shutdown_command',
    'send_stop_execution_command',
    'send_stop_job_command',
    'suspend',
    'unix_url',
]

_HOMES = {
    name: module
    for module, names in {
        'rq.callbacks': 'Callback',
        'rq.command': 'send_kill_horse_command send_shutdown_command send_stop_execution_command send_stop_job_command',
        'rq.cron': 'CronJob CronScheduler',
        'rq.exceptions': 'DeserializationError DuplicateJobError InvalidJobDependency InvalidJobOperation '
        'NoSuchGroupError NoSuchJobError ShutDownImminentException',
        'rq.executions': 'Execution',
        'rq.group': 'Group',
        'rq.job': 'cancel_job Dependency get_current_job Job JobStatus requeue_job Retry',
        'rq.queue': 'EnqueueData',
        'rq.rate_limit': 'RateLimit',
        'rq.registry': 'CanceledJobRegistry clean_registries DeferredJobRegistry FailedJobRegistry FinishedJobRegistry '
        'ScheduledJobRegistry StartedJobRegistry',
        'rq.repeat': 'Repeat',
        'rq.results': 'Result',
        'rq.serializers': 'DefaultSerializer JSONSerializer',
        'rq.suspension': 'is_suspended resume suspend',
        'rq.timeouts': 'JobTimeoutException',
        'rq.webhook': 'Webhook',
        'rq.worker': 'DequeueStrategy WorkerStatus',
        'rq.worker_pool': 'WorkerPool',
        'rq_leveldb.api': 'default_connection job Queue SimpleWorker SpawnWorker',
        'rq_leveldb.client.aio': 'AsyncRedis',
        'rq_leveldb.client.connection': 'Redis',
        'rq_leveldb.client.keeper': 'unix_url',
        'rq_leveldb.client.named_pool': 'ConnectionPool',
        'rq_leveldb.client.options': 'UnusedSettingWarning',
        'rq_leveldb.client.retry': 'StoreUnavailable',
        'rq_leveldb.errors': 'StoreError',
        'rq_leveldb.job_progress': 'progress',
        'rq_leveldb.worker': 'Worker',
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
