"""What a request asks for is there as a whole or not at all, and once, whoever is killed meanwhile."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import redis
from falcon.testing import Result
from rq import Queue
from rq.job import Job
from rq.registry import DeferredJobRegistry

from tests.http.support import TOKEN, Api, FrontProcess
from tests.until import until

POINTS = int(os.environ.get('RQ_LEVELDB_TEST_KILLS', '6'))
REAL = pytest.mark.skipif('RQ_LEVELDB_TEST_URL' in os.environ, reason='it kills the store')


def batch(name: str) -> dict[str, Any]:
    """Return a batch of 201 jobs: some alone, some that wait for others of it, some that are to be unique."""
    jobs: list[dict[str, Any]] = [{'function': 'http_tasks.add', 'args': [0], 'job_id': f'{name}-first'}]
    jobs += [{'function': 'http_tasks.add', 'args': [number]} for number in range(100)]
    jobs += [{'function': 'http_tasks.add', 'args': [1], 'depends_on': [f'{name}-first']} for _ in range(50)]
    jobs += [
        {'function': 'http_tasks.add', 'args': [1], 'job_id': f'{name}-{number}', 'unique': True}
        for number in range(50)
    ]
    return {'jobs': jobs}


def post(front: FrontProcess, document: Any, key: str | None) -> tuple[int, Any, bool]:
    """Send a batch; return the status, 0 where the front went away, the JSON, and whether it is a replay."""
    headers = {'Content-Type': 'application/json', 'Authorization': f'Bearer {TOKEN}'}
    if key is not None:
        headers['Idempotency-Key'] = key
    client = http.client.HTTPConnection('127.0.0.1', front.port, timeout=60)
    try:
        client.request('POST', '/v1/batch', json.dumps(document), headers)
        answer = client.getresponse()
        return answer.status, json.load(answer), 'Idempotency-Replayed' in answer.headers
    except (ConnectionError, http.client.HTTPException):
        return 0, None, False
    finally:
        client.close()


def how_long(front: FrontProcess, name: str) -> float:
    """Return how many seconds a batch takes."""
    started = time.perf_counter()
    assert post(front, batch(name), None)[0] == 201
    return time.perf_counter() - started


@REAL
@pytest.mark.parametrize('victim', ['store', 'front'])
@pytest.mark.parametrize('has_key', [True, False], ids=['with a key', 'without a key'])
def test_who_is_killed_leaves_all_of_a_batch_or_nothing(
    start_front: Callable[..., FrontProcess], connection: redis.Redis, victim: str, has_key: bool
) -> None:
    front = start_front('--allow', 'http_tasks.*')
    queue = Queue('default', connection=connection)
    waiting = DeferredJobRegistry('default', connection=connection)
    cut_off = 0
    took = min(how_long(front, f'whole{number}') for number in range(3))
    # Each is cut off a little later than the one before.
    for number in range(POINTS):
        connection.flushall()
        document = batch(f'b{number}')
        key = f'key-{number}' if has_key else None
        answers: list[tuple[int, Any, bool]] = []
        sender = threading.Thread(
            target=lambda document=document, key=key, answers=answers: answers.append(post(front, document, key))
        )
        if victim == 'store':
            process = psutil.Process(int(connection.info('server')['process_id']))
        else:
            (process,) = until(psutil.Process(front.process.pid).children)
        sender.start()
        sender.join(took * (number + 0.5) / POINTS)
        process.kill()
        process.wait(10)
        sender.join()
        status = answers[0][0]
        assert status in (0, 201, 503)
        cut_off += status != 201
        there = len(queue.job_ids) + len(waiting.get_job_ids())
        assert there in ((201,) if status == 201 else (0, 201))
        if has_key:
            status, again, is_replay = until(lambda document=document, key=key: _accepted(post(front, document, key)))
            # Whoever was killed may have sent it all, and it is done a moment later.
            assert is_replay or not there
            ids = [job['id'] for job in again['jobs']]
            # Once each: neither missing nor twice in the queue.
            assert sorted(queue.job_ids + waiting.get_job_ids()) == sorted(ids)
            assert all(Job.exists(job_id, connection) for job_id in ids)
            assert len(connection.smembers(f'rq:job:b{number}-first:dependents')) == 50
    assert cut_off


def _accepted(answer: tuple[int, Any, bool]) -> tuple[int, Any, bool] | None:
    assert answer[0] in (0, 201, 503)
    return answer if answer[0] == 201 else None


def test_what_ran_and_is_forgotten_does_not_run_again(
    api: Api, connection: redis.Redis, work: Callable[..., None]
) -> None:
    jobs = [{'function': 'http_tasks.add', 'args': [1], 'job_id': name, 'result_ttl': 0} for name in ('a', 'b')]
    document = {
        'jobs': [
            *jobs,
            {'function': 'http_tasks.add', 'args': [1], 'job_id': 'c', 'depends_on': ['a'], 'result_ttl': 0},
        ]
    }
    headers = {'Idempotency-Key': 'once'}
    assert api.post('/v1/batch', document, headers=headers).status_code == 201
    work()
    assert not any(Job.exists(name, connection) for name in 'abc')
    again = api.post('/v1/batch', document, headers=headers)
    assert again.status_code == 201
    assert [(job['id'], job['status']) for job in again.json['jobs']] == [('a', 'gone'), ('b', 'gone'), ('c', 'gone')]
    assert Queue('default', connection=connection).job_ids == []


@REAL
def test_a_request_that_was_sent_again_while_the_first_hangs_is_done_once(api: Api, connection: redis.Redis) -> None:
    document = batch('b')
    headers = {'Idempotency-Key': 'once'}
    answers: list[Result] = []
    pid = int(connection.info('server')['process_id'])
    os.kill(pid, signal.SIGSTOP)
    senders = [
        threading.Thread(target=lambda: answers.append(api.post('/v1/batch', document, headers=headers)))
        for _ in range(3)
    ]
    for sender in senders:
        sender.start()
    os.kill(pid, signal.SIGCONT)
    for sender in senders:
        sender.join()
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({str([job['id'] for job in answer.json['jobs']]) for answer in answers}) == 1
    assert len(Queue('default', connection=connection).job_ids) == 151


def test_jobs_wait_as_with_rq_alone(api: Api, connection: redis.Redis, work: Callable[..., None]) -> None:
    queue = Queue('default', connection=connection)
    done, failed = api.enqueue('add', 1), api.enqueue('fail')
    work()
    waits: list[tuple[dict[str, Any], str]] = [
        ({'depends_on': [done]}, 'queued'),
        ({'depends_on': [failed]}, 'deferred'),
        ({'depends_on': {'jobs': [failed, done], 'allow_failure': True}}, 'queued'),
        ({'depends_on': [done, 'mine']}, 'deferred'),
        ({'depends_on': {'jobs': ['mine'], 'at_front': True}, 'ttl': 1000}, 'deferred'),
    ]
    jobs: list[dict[str, Any]] = [{'function': 'http_tasks.add', 'args': [1], 'job_id': 'mine'}]
    jobs += [
        {'function': 'http_tasks.add', 'args': [1], 'job_id': f'w{number}', **more}
        for number, (more, _) in enumerate(waits)
    ]
    answer = api.post('/v1/batch', {'jobs': jobs})
    assert [job['status'] for job in answer.json['jobs']] == ['queued', *(status for _, status in waits)]
    for number, (_, status) in enumerate(waits):
        job = Job.fetch(f'w{number}', connection=connection)
        # RQ's own way, for a job with the same dependencies.
        options = {'ttl': 1000} if job.ttl else {}
        twin = queue.enqueue('http_tasks.add', 1, depends_on=_same(job), **options)
        assert twin.get_status() == job.get_status() == status
        assert sorted(twin.dependency_ids) == sorted(job.dependency_ids)
        assert connection.ttl(twin.key) == pytest.approx(connection.ttl(job.key), abs=5)
        own, other = (set(connection.hkeys(one.key)) for one in (job, twin))
        assert own == other
    work()
    for number, (_, status) in enumerate(waits):
        after = Job.fetch(f'w{number}', connection=connection)
        assert after.get_status() == ('deferred' if number == 1 else 'finished'), status


def _same(job: Job) -> Any:
    from rq.job import Dependency

    return Dependency(job._dependency_ids, bool(job.allow_dependency_failures), bool(job.enqueue_at_front))


def test_a_dependency_that_ends_while_it_is_looked_at_is_not_missed(
    api: Api, connection: redis.Redis, work: Callable[..., None]
) -> None:
    for number in range(3):
        first = api.enqueue('add', number)
        answers: list[Result] = []
        document = {'jobs': [{'function': 'http_tasks.add', 'args': [1], 'depends_on': [first]}] * 3}
        sender = threading.Thread(
            target=lambda document=document, answers=answers: answers.append(api.post('/v1/batch', document))
        )
        sender.start()
        work()
        sender.join()
        work()
        ids = [job['id'] for job in answers[0].json['jobs']]
        assert {job.get_status().value for job in Job.fetch_many(ids, connection) if job} == {'finished'}
