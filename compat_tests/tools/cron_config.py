"""Definitions of `rq cron`."""

from __future__ import annotations

from rq import cron

from compat_tests.tools.jobs import add

cron.register(add, queue_name='default', args=(20, 22), interval=1)
