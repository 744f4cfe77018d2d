"""rq-leveldb pause and unpause, and that a paused queue is said to be paused wherever queues are shown."""

from __future__ import annotations

import json
from typing import Any

from rq import Queue

from rq_leveldb.paused_queues import is_paused
from tests.cli.support import Call, add_worker, fields


def test_queues_are_paused_and_resumed(redis: Any, call: Call) -> None:
    mail = Queue('mail', connection=redis)
    mail.enqueue('cli_jobs.add')
    add_worker(redis, 'lives')
    redis.sadd('rq:workers:served', 'rq:worker:lives')

    code, text = call('pause', 'mail', 'maill', 'served')
    assert code == 1
    assert 'there is no queue maill' in text
    assert 'Paused mail.\nPaused served.\n' in text
    assert is_paused(mail)
    assert call('pause', 'mail') == (0, 'mail was paused already.\n')
    assert call('unpause', 'mail') == (0, 'Resumed mail.\n')
    assert call('unpause', 'mail') == (0, 'mail was not paused.\n')
    code, text = call('pause', 'mail', '--json')
    assert (code, json.loads(text)) == (0, {'paused': ['mail', 'served']})
    assert call('unpause', '--all')[0] == 0
    assert call('unpause', '--all') == (0, 'No queue is paused.\n')
    assert call('unpause')[0] == 2


def test_it_is_said_wherever_queues_are_shown(redis: Any, call: Call) -> None:
    job = Queue('mail', connection=redis).enqueue('cli_jobs.add', job_id='waits')
    redis.hset(job.key, 'enqueued_at', '2020-01-01T00:00:00.000000Z')
    call('pause', 'mail')

    assert call('info', '--raw')[1].startswith('queue mail 1, 0 executing, 0 finished, 0 failed, paused\n')
    text = call('info')[1]
    assert '0 failed, paused\n' in text
    text = call('status')[1]
    assert fields(text)['Paused'] == 'mail (rq-leveldb unpause QUEUE)'
    assert 'no worker' not in text
    shown = json.loads(call('status', '--json')[1])
    assert (shown['paused'], shown['unserved']) == (['mail'], [])
    code, text = call('status', '--check', '--min-free', '0,0')
    assert code == 0
    assert text.startswith('OK: all jobs are served; paused: mail | ')
    code, text = call('doctor', '--json')
    notes = [found['what'] for found in json.loads(text)['findings'] if found['level'] == 'note']
    assert 'The queue mail is paused, with 1 job' in notes
    assert 'No worker serves' not in text
    assert 'mail (paused)' in call('top')[1]
    reasons = json.loads(call('job', 'waits', '--json')[1])['waits_because']
    assert reasons[0] == 'the queue mail is paused; rq-leveldb unpause mail lets workers go on with it'

    redis.delete('rq:paused-queues')
    redis.set('rq:paused-queues', 'something else')
    for command in (['status'], ['info'], ['doctor'], ['status', '--check']):
        assert 'rq:paused-queues' in call(*command)[1], command
    assert 'rq:paused-queues' not in call('top')[1]
    code, text = call('pause', 'mail')
    assert code == 1
    assert 'WRONGTYPE' in text
    assert 'Traceback' not in text
