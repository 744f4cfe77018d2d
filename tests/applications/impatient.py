"""A worker whose connections wait for the store as long as its URL says, where RQ's wait for seven minutes."""

from __future__ import annotations

from rq_leveldb import Worker


class ImpatientWorker(Worker):
    """RQ raises a shorter time-out to this one."""

    connection_timeout = 1
