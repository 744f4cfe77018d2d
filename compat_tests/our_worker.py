"""A pytest plugin: RQ's Worker is ours while RQ's own tests run. OUR_WORKER_CHILDREN says how many jobs at once."""

from __future__ import annotations

import os

import rq
import rq.worker
import rq.worker_pool

if 'OUR_WORKER_CHILDREN' in os.environ:
    os.environ['RQ_LEVELDB_MAX_CHILDREN'] = os.environ['OUR_WORKER_CHILDREN']

from rq_leveldb.worker import Worker

rq.Worker = rq.worker.Worker = rq.worker_pool.Worker = Worker  # type: ignore[misc]
