"""What all children are copies of: a worker's process in which everything is done that can be done before the fork."""

from __future__ import annotations

import _socket
import gc
import importlib
import os
import sys
from collections.abc import Callable

from rq_leveldb.failed_import import describe
from rq_leveldb.process import prepare_to_fork

from . import job_process
from .performing import PerformingWorker
from .rehearsal import rehearse

__all__ = ['Template']

_NEEDED_IN_CHILDREN = ('rq.group', 'rq.rate_limit', 'rq.repeat', 'rq.webhook', 'asyncio')


class Template:
    """A worker to be copied.

    Args:
        worker: the worker.
    """

    def __init__(self, worker: PerformingWorker) -> None:
        self._worker = worker

    def ask_store(self) -> None:
        """Ask, in the supervisor, what else every child would have to ask.

        Raises:
            RedisError: the store went away.
        """
        self._worker.get_redis_server_version()

    def prepare(self) -> None:
        """Do what is to be done once, before the first fork; raises whatever a hook of the application raises."""
        for module in _NEEDED_IN_CHILDREN:
            importlib.import_module(module)
        prepare_to_fork()
        site = self._worker.site
        for hook in site.settings.before_first_fork:
            hook()
        # The application is imported now, and with it whatever replaces RQ's methods.
        self._worker.look_for_changes()
        os.environ['RQ_WORKER_ID'] = site.name
        if site.touched is None:
            site.blank_job()
        # The collector writes to the objects that it visits; the others stay shared with the children.
        gc.freeze()

    def warm_up(self) -> None:
        """Do what makes the further forks cheaper, and need not be done before there is a first child."""
        if self._worker.site.touched is None:
            rehearse(self._worker)
        gc.freeze()

    def preload(self, module: str) -> str:
        """Import a module that jobs need, so that children need not.

        Returns:
            Why it could not be imported; '' if it could.
        """
        if module in sys.modules:
            return ''
        site = self._worker.site
        try:
            importlib.import_module(module)
        except BaseException as error:
            words = describe(module, error)
            site.log.warning('could not preload %s', words)
            return words
        site.log.info('preloaded %s', module)
        self._worker.look_for_changes()
        gc.freeze()
        return ''

    def run_child(
        self, channel: _socket.socket, mailbox: int, parent: int, leave: Callable[[], None], output: int | None
    ) -> None:
        """Be a child, in a process that was forked just now; never returns. Arguments as for `job_process.run`."""
        job_process.run(self._worker, channel, mailbox, parent, leave, output)
