"""One of RQ's fork workers as a process: `python -m shop.staff QUEUE NAME [burst]`."""

from __future__ import annotations

import sys

from rq import Worker

from shop.connection import connect

queue, name, *burst = sys.argv[1:]
Worker([queue], name=name, connection=connect()).work(burst=bool(burst), logging_level='CRITICAL')
