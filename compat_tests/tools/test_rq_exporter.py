"""rq-exporter, as its own command runs it."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec

from rq.job import Job

from compat_tests.tools.place import Place, Site, free_port, missing


def test_rq_exporter(store: Place, jobs: list[Job]) -> None:
    # Version 2 cannot be imported beside RQ 3, here or on Redis, and version 3 asks for RQ 2, but does not need it.
    if find_spec('rq_exporter') is None or version('rq-exporter').startswith('2.'):
        missing('rq-exporter 3 is not installed: pip install --no-deps "rq-exporter>=3"')
    port = free_port()
    with store.running('rq-exporter', '--host', '127.0.0.1', '--port', str(port)) as program:
        site = Site(port, program)
        counts = dict(re.findall(r'^rq_jobs{queue="default",status="(\w+)"} ([\d.]+)', site.get('/'), re.MULTILINE))
        assert [counts[state] for state in ('queued', 'finished', 'failed')] == ['1.0', '1.0', '1.0']
        with store.running('rq', 'worker', '--name', 'watched') as worker:
            worker.until(lambda: re.search(r'^rq_workers{name="watched",.* 1.0$', site.get('/'), re.MULTILINE))
