"""The contract with RQ: RQ's worker, with at most N jobs at once, each in a process of its own.

Everything that RQ's worker can be asked from outside keeps its meaning. Outside of `work()` this class behaves as
RQ's does, one job at a time in the foreground. Inside, a `Supervisor` runs the show and calls RQ's methods as RQ does:
`supervised` has what they do in the worker's own process, `performing` what they do about one job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.queue import Queue
from rq.worker import DequeueStrategy

from rq_leveldb.api import DefaultConnection
from rq_leveldb.client.default_place import default_place
from rq_leveldb.process import identify
from rq_leveldb.records import BEAT_FIELD, CRON_FIELD, MAX_CHILDREN_FIELD, VERSION_FIELD
from rq_leveldb.version import __version__

from .backoff import Backoff
from .code_watcher import require_watchfiles
from .green import is_eventlets
from .heartbeat import new_beat
from .liveness import identity_fields
from .services import Service
from .settings import Settings
from .site import Site
from .status_line import StatusLine
from .supervised import SupervisedWorker
from .supervisor import Supervisor
from .trouble import LOST

__all__ = ['Worker']

# Seconds for which a worker that starts waits for a store that was killed meanwhile.
_START_PATIENCE = 10.0


class Worker(DefaultConnection, SupervisedWorker):
    """Runs jobs of RQ's queues, at most `max_children` at once, each in a process forked for it.

    Args:
        queues: as for RQ's worker: names or queues, in order of importance; the connection may be left out.
        settings: how it differs from RQ's worker; None for the defaults.
        max_children: shorthand for the setting of this name.
        services: processes to keep alive beside it.
        cron: module or file of RQ's cron definitions; None for none.
        status_line: what shows a person how it goes; None for log lines only.
        kwargs: whatever RQ's worker takes.

    Attributes:
        broken: whether `work` ended by an error that nobody expected.

    Raises:
        ValueError: a setting makes no sense, or code is to be reloaded without the package that it takes.
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
        self.settings.check()
        if self.settings.reload:
            require_watchfiles()
        self.services = list(services)
        self.status_line = status_line
        self.broken = False
        self._cron_path = cron
        super().__init__(queues, *args, **kwargs)

    def serialize(self) -> dict[str, Any]:
        """Return this worker's record: RQ's fields, and those by which others can tell whether it lives."""
        fields: dict[str, Any] = super().serialize()
        if self.pid == os.getpid():
            locks = self._site.locks if self._site is not None else None
            fields.update(identity_fields(identify(), locked=locks is not None and locks.is_own(self.name)))
            fields[BEAT_FIELD] = new_beat()
            fields[MAX_CHILDREN_FIELD] = self.settings.max_children
            fields[CRON_FIELD] = self._cron_path or ''
            fields[VERSION_FIELD] = __version__
        return fields

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
                'eventlet.monkey_patch() was called in this process, so it cannot wait for jobs. Start the '
                'worker with `rq-leveldb worker --import MODULE`, where MODULE calls it'
            )
        site = Site.of(self, self.settings)
        self.settle_in(site)
        self.look_for_changes()
        supervisor = self._supervisor = Supervisor(self, self.services, self.state_is_stored)
        self._stored_state = ''
        try:
            with default_place(self.connection), supervisor:
                if self._cron_path is not None:
                    # First, so that a worker whose definitions cannot be loaded is never registered.
                    supervisor.load_cron(
                        self._cron_path, logging_level if logging_level is not None else self.log.level
                    )
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
            self.broken = supervisor.broken
            self._supervisor = self._site = None
            if site.locks is not None:
                site.locks.release(self.name)
        return supervisor.worked

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
                self.site.registered = False
                self.site.log.warning('lost the store while starting, trying again: %s', error)
                time.sleep(pause)
