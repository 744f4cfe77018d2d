"""Whatever is stored, the commands go on: one broken record is named, and everything else is there as usual."""

from __future__ import annotations

import json

from broken_records import STATES, Damage, Records, damages
from hypothesis import HealthCheck, given, settings
from rq import Queue, Retry
from rq.registry import FailedJobRegistry

from rq_leveldb import Redis
from rq_leveldb.unreadable import list_aside
from tests.cli.support import Call


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages)
def check(records: Records, call: Call, damage: Damage) -> None:
    with records.broken(damage) as key:
        for state in STATES:
            assert call('job', f'spoiled-{state}')[0] in (0, 1)
        for arguments in (
            ['job', 'spoiled-started', '--json'],
            ['job', 'spoiled-started', '--log'],
            ['jobs'],
            ['jobs', '--search', 'text', '--json'],
            ['jobs', '--group'],
            ['info'],
            ['info', '--raw', '--by-queue'],
            ['children'],
            ['enqueue', 'broken_records.run_well', '--depends-on', 'spoiled-queued', '--job-id', 'spoiled-more'],
            ['enqueue', 'broken_records.run_well', '--queue', 'spoiled', '--job-id', 'spoiled-more'],
            ['requeue', '--queue', 'spoiled', 'spoiled-canceled', 'spoiled-queued'],
            ['empty', 'nothing-in-it'],
        ):
            code, text = call(*arguments)
            assert code in (0, 1), (key, arguments, text)
            assert 'Traceback' not in text
        records.connection.delete('rq:job:spoiled-more')
        code, text = call('status', '--json')
        assert code == 0
        report = json.loads(text)
        if key != b'rq:queues':
            assert report['queues']['sound'] == dict.fromkeys(STATES, 1)
            assert 'queue sound 1, 1 executing, 1 finished, 1 failed' in call('info', '--raw')[1]
        if key != b'rq:workers':
            assert report['workers'] >= 1
            assert 'sound-worker' in call('children')[1]
            assert 'worker sound-worker ' in call('info', '--raw', 'sound')[1]
        assert call('status')[0] == 0
        assert call('job', 'sound-failed')[0] == 0


def test_any_damage_is_named_and_nothing_else_suffers(redis: Redis, call: Call) -> None:
    check(Records(redis), call)


def test_a_job_says_which_field_is_broken(redis: Redis, call: Call) -> None:
    job = Queue(connection=redis).enqueue('cli_jobs.add', retry=Retry(max=2.0))  # type: ignore[arg-type]
    code, text = call('job', job.id)
    assert code == 0
    assert "retries_left: '2.0'" in text
    assert 'queued' in text


def test_the_others_are_requeued(redis: Redis, call: Call) -> None:
    from rq import SimpleWorker

    queue = Queue('mixed', connection=redis)
    ids = [queue.enqueue('broken_records.run_badly', job_id=f'job-{number}').id for number in range(3)]
    SimpleWorker([queue], connection=redis).work(burst=True)
    redis.hset('rq:job:job-1', 'timeout', 'abc')
    code, text = call('requeue', '--queue', 'mixed', '--all')
    assert code == 1
    assert "field 'timeout' cannot be read: 'abc'" in text
    assert queue.job_ids == [ids[0], ids[2]]
    assert FailedJobRegistry(queue=queue).get_job_ids(cleanup=False) == [ids[1]]


def test_the_other_queues_are_emptied(redis: Redis, call: Call) -> None:
    for name in ('one', 'two'):
        Queue(name, connection=redis).enqueue('cli_jobs.add')
    redis.sadd('rq:queues', b'rq:queue:\xff', 'rq:queue:odd')
    redis.set('rq:queue:odd', 'text')
    code, text = call('empty', '--all')
    assert code == 1
    assert '1 jobs removed from one queue' in text
    assert '1 jobs removed from two queue' in text
    assert 'queue odd' in text


def test_status_shows_what_was_set_aside_and_what_is_about_to_be_enqueued(redis: Redis, call: Call) -> None:
    Records(redis)
    redis.set('rq:job:odd', 'text')
    list_aside(redis, 'rq:job:odd', 'no hash')
    _, text = call('status')
    assert 'ready to enqueue' in text
    assert 'Cannot be read:' in text
    assert 'no hash' in text
    assert json.loads(call('status', '--json')[1])['unreadable'] == [{'key': 'rq:job:odd', 'reason': 'no hash'}]
