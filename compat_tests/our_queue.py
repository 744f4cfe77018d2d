"""A pytest plugin: RQ's Queue is ours, wherever RQ names it, while RQ's own tests run."""

from __future__ import annotations

import sys

import rq.cli
import rq.cron
import rq.queue
import rq.scheduler
from rq.worker.base import BaseWorker

from rq_leveldb.api import Queue

_THEIRS = rq.queue.Queue
for _module in [module for name, module in sys.modules.items() if name.partition('.')[0] == 'rq']:
    for _name in [name for name, value in vars(_module).items() if value is _THEIRS]:
        setattr(_module, _name, Queue)
BaseWorker.queue_class = Queue
