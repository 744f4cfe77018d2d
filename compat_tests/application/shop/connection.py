"""Where the jobs are kept. This is the only file that changes when the shop moves between the store and Redis."""

from __future__ import annotations

import os
from typing import Any

from rq_leveldb import Redis


def connect(**options: Any) -> Redis:
    """A connection to the place of the jobs; the address is what any application of Redis reads from its settings."""
    host = os.environ.get('SHOP_REDIS_HOST', 'localhost')
    port = int(os.environ.get('SHOP_REDIS_PORT', '6379'))
    return Redis(host=host, port=port, **options)
