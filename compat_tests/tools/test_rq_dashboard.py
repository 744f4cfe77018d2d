"""rq-dashboard, as its own command runs it."""

from __future__ import annotations

from rq import Queue
from rq.job import Job

from compat_tests.tools.place import Place, Site, free_port, need


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
