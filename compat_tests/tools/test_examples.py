"""The projects under examples/, as their documents say to run them: real servers, real workers, real requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from rq import Queue
from rq.job import Job

from compat_tests.download import CHECKOUT
from compat_tests.tools.place import Place, Program, Site, free_port, need, needs_flask_rq

EXAMPLES = CHECKOUT / 'examples'


def finished(site: Site, worker: Program, job: str) -> Any:
    """Return what a page says about a job once it is finished."""
    worker.until(lambda: site.json(f'/jobs/{job}')['status'] == 'finished')
    return site.json(f'/jobs/{job}')


@needs_flask_rq
def test_flask(store: Place) -> None:
    need('flask_rq')
    port = free_port()
    here = EXAMPLES / 'flask'
    with (
        store.running('flask', '--app', 'app', 'run', '--port', str(port), cwd=here) as server,
        store.running('flask', '--app', 'app', 'rq', 'worker', cwd=here, name='worker') as worker,
    ):
        site = Site(port, server)
        job = site.json('/count?limit=100')['job']
        assert finished(site, worker, job)['primes'] == 25


def test_fastapi_under_uvicorn_with_two_processes(store: Place) -> None:
    need('fastapi', 'uvicorn')
    port = free_port()
    here = EXAMPLES / 'fastapi'
    with (
        store.running('uvicorn', 'main:app', '--workers', '2', '--port', str(port), cwd=here) as server,
        store.running('rq-leveldb', 'worker', '--no-http', '--import', 'jobs', cwd=here) as worker,
    ):
        site = Site(port, server)
        answers: dict[int, str] = {}

        def each_has_answered() -> bool:
            answer = site.json('/count?limit=100')
            answers[answer['process']] = answer['job']
            return len(answers) == 2

        server.until(each_has_answered)
        assert [finished(site, worker, job)['primes'] for job in answers.values()] == [25, 25]
        store.kill_store()
        job = site.json('/count?limit=1000')['job']
        assert finished(site, worker, job)['primes'] == 168


@pytest.fixture
def manage(store: Place, tmp_path: Path) -> Callable[..., Any]:
    """Return what runs manage.py of the Django project, whose database is in the test's directory."""
    need('django', 'django_rq', 'django_redis')

    def run(*arguments: str, how: Callable[..., Any] = store.run, **environment: str) -> Any:
        return how('python', 'manage.py', *arguments, cwd=EXAMPLES / 'django', MYSITE_DATA=str(tmp_path), **environment)

    return run


@pytest.mark.timeout(300)
def test_django_and_the_pages_of_django_rq(store: Place, manage: Callable[..., Any]) -> None:
    manage('migrate')
    user = {'DJANGO_SUPERUSER_PASSWORD': 'x', 'DJANGO_SUPERUSER_EMAIL': 'admin@example.org'}
    manage('createsuperuser', '--noinput', '--username', 'admin', **user)
    port = free_port()
    with (
        manage('runserver', f'127.0.0.1:{port}', how=store.running) as server,
        manage('rqworker', '--name', 'watched', how=store.running) as worker,
    ):
        site = Site(port, server)
        first = site.json('/count?limit=100')
        worker.until(lambda: site.json('/count?limit=100').get('primes') == 25)
        failed = Queue(connection=store.client).enqueue('mysite.tasks.count_primes', 'x')
        worker.until(lambda: failed.get_status() == 'failed')
        assert 'threads were started' not in worker.output()

        site.get('/admin/login/')
        form = {'username': 'admin', 'password': 'x', 'csrfmiddlewaretoken': site.cookie('csrftoken')}
        site.post('/admin/login/?next=/admin/', urlencode(form).encode())
        home = '/admin/django_rq/dashboard'
        for path, words in (
            ('/', 'default'),
            ('/queues/0/', 'default'),
            ('/queues/0/details/', 'default'),
            ('/queues/0/finished/', first['job']),
            ('/queues/0/failed/', failed.id),
            ('/queues/0/scheduled/', 'default'),
            ('/queues/0/started/', 'default'),
            ('/queues/0/deferred/', 'default'),
            (f'/queues/0/{failed.id}/', failed.id),
            (f'/queues/0/{failed.id}/results/{failed.latest_result().id}/', 'TypeError'),
            ('/workers/0/', 'watched'),
            ('/workers/0/rq:worker:watched/', 'watched'),
            ('/stats.json', '"failed_jobs": 1'),
            ('/metrics', 'rq_jobs'),
        ):
            assert words in site.get(home + path), path
        token = {'csrfmiddlewaretoken': site.cookie('csrftoken')}
        site.post(f'{home}/queues/0/{failed.id}/delete/', urlencode({**token, 'post': 'yes'}).encode())
        assert not Job.exists(failed.id, connection=store.client)
    with manage('runserver', f'127.0.0.1:{port}', '--noreload', how=store.running) as server:
        site = Site(port, server)
        for limit, command in ((200, ('rqworker', '--worker-class', 'rq.Worker')), (300, ('rqworker-pool',))):
            site.json(f'/count?limit={limit}')
            manage(*command, '--burst')
            assert site.json(f'/count?limit={limit}') == {'primes': {200: 46, 300: 62}[limit]}
    assert 'default' in manage('rqstats').stdout


def test_django_rq_by_the_connection_of_a_cache(store: Place, manage: Callable[..., Any], tmp_path: Path) -> None:
    """The connection is ours then: it starts the store by itself, and repeats nothing that may have been done."""
    (tmp_path / 'by_cache.py').write_text(
        'from mysite.settings import *\nRQ_QUEUES = {"default": {"USE_REDIS_CACHE": "default"}}\n'
    )
    settings = {'DJANGO_SETTINGS_MODULE': 'by_cache', 'PYTHONPATH': f'{tmp_path}:{CHECKOUT}'}
    asked = (
        'from django_rq import enqueue; from mysite.tasks import count_primes; '
        'print(type(enqueue(count_primes, 100).connection.connection_pool))'
    )
    assert 'rq_leveldb.client.named_pool.ConnectionPool' in manage('shell', '-c', asked, **settings).stdout
    manage('rqworker', '--burst', **settings)
    read = 'from django.core.cache import cache; print("primes", cache.get("primes-100"))'
    assert 'primes 25' in manage('shell', '-c', read, **settings).stdout
