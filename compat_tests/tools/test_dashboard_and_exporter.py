"""rq-dashboard and rq-exporter, as their own commands run them."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec

import pytest
from rq import Queue
from rq.job import Job

from compat_tests.tools.place import Place, Site, free_port, missing, need

JOBS = 'compat_tests.tools.jobs'


@pytest.fixture
def jobs(store: Place) -> list[Job]:
    """Return a finished, a failed and a queued job."""
    queue = Queue(connection=store.client)
    jobs = [queue.enqueue(f'{JOBS}.add', 20, 22), queue.enqueue(f'{JOBS}.fail')]
    store.run('rq', 'worker', '--burst')
    return [*jobs, queue.enqueue(f'{JOBS}.add', 1, 2, job_id='waiting')]


def test_rq_dashboard(store: Place, jobs: list[Job]) -> None:
    need('rq_dashboard')
    finished, failed, queued = jobs
    port = free_port()
    with store.running('rq-dashboard', '--redis-url', store.address, '--port', str(port)) as program:
        site = Site(port, program)
        for page in ('/', '/0/view/queues', '/0/view/workers', '/0/view/jobs', f'/0/view/job/{failed.id}'):
            assert 'RQ' in site.get(page)
        (queue,) = site.json('/0/data/queues.json')['queues']
        assert (queue['name'], queue['count'], queue['failed_job_registry_count']) == ('default', 1, 1)
        for registry, job in (('queued', queued), ('finished', finished), ('failed', failed)):
            listed = site.json(f'/0/data/jobs/default/{registry}/8/asc/1.json')['jobs']
            assert [each['id'] for each in listed] == [job.id]
        assert 'ValueError: it fails' in site.json(f'/0/data/job/{failed.id}.json')['exc_info']
        assert site.json('/0/data/workers.json')['workers'] == []
        site.post(f'/job/{failed.id}/requeue', b'')
        assert failed.get_status() == 'queued'
        site.post(f'/job/{queued.id}/delete', b'')
        assert not Job.exists('waiting', connection=store.client)
        site.post('/queue/default/queued/empty', b'')
        assert Queue(connection=store.client).count == 0


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
