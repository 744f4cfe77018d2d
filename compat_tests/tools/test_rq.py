"""RQ's own command line, each command, with nothing but the URL in the environment."""

from __future__ import annotations

import re

from rq import Queue
from rq.job import Job

from compat_tests.tools.place import Place

JOBS = 'compat_tests.tools.jobs'
TESTED = {'cron', 'empty', 'enqueue', 'info', 'requeue', 'resume', 'suspend', 'worker', 'worker-pool'}


def test_every_command_has_a_test(store: Place) -> None:
    listed = store.run('rq', '--help').stdout.partition('Commands:')[2]
    assert set(re.findall(r'^  ([a-z-]+) ', listed, re.MULTILINE)) == TESTED


def test_enqueue_info_worker_requeue_and_empty(store: Place) -> None:
    store.run('rq', 'enqueue', f'{JOBS}.add', ':2', ':3', '--job-id', 'sum')
    store.run('rq', 'enqueue', f'{JOBS}.fail', '--job-id', 'bad')
    assert 'queue default 2, 0 executing, 0 finished, 0 failed' in store.run('rq', 'info', '--raw').stdout
    store.run('rq', 'worker', '--burst')
    assert Job.fetch('sum', connection=store.client).return_value() == 5
    assert 'queue default 0, 0 executing, 1 finished, 1 failed' in store.run('rq', 'info', '--raw').stdout
    assert 'Requeueing 1 jobs' in store.run('rq', 'requeue', '--queue', 'default', '--all').stdout
    assert '1 jobs removed from default queue' in store.run('rq', 'empty', 'default').stdout


def test_suspend_and_resume(store: Place) -> None:
    store.run('rq', 'suspend')
    assert 'RQ is currently suspended' in store.run('rq', 'worker', '--burst', code=1).stdout
    store.run('rq', 'resume')
    store.run('rq', 'worker', '--burst')


def test_worker_pool(store: Place) -> None:
    queue = Queue(connection=store.client)
    jobs = [queue.enqueue(f'{JOBS}.add', number, 1) for number in range(4)]
    store.run('rq', 'worker-pool', '--burst', '--num-workers', '2')
    assert [job.return_value() for job in jobs] == [1, 2, 3, 4]


def test_cron(store: Place) -> None:
    queue = Queue(connection=store.client)
    with store.running('rq', 'cron', 'compat_tests.tools.cron_config') as cron:
        cron.until(lambda: queue.count)
    assert queue.jobs[0].args == (20, 22)


def test_a_worker_survives_kills_of_the_store(store: Place) -> None:
    queue = Queue(connection=store.client)

    def has_started_waiting() -> bool:
        return any(client['cmd'].startswith('bl') for client in store.client.client_list())

    with store.running('rq', 'worker') as worker:
        for number in range(3):
            worker.until(has_started_waiting)
            store.kill_store()
            job = queue.enqueue(f'{JOBS}.add', number, 1)
            worker.until(lambda job=job: job.return_value() is not None)
            assert job.return_value() == number + 1
        assert worker.output().count('started with PID') == 1
