"""rq-leveldb cron-jobs: which entries run when, and running or disabling one."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rq.cron import CronScheduler

from rq_leveldb import Worker
from rq_leveldb.cron_due import Due, due_key
from rq_leveldb.worker.cron import WorkerCron
from tests.cli.support import Call
from tests.worker.support import site_of

CONFIG = """
import json
from rq import cron
for words in ('one', 'two'):
    cron.register(json.dumps, 'clock', args=(words,), cron='0 4 * * *')
cron.register(json.loads, 'clock', args=('1',), cron='0 5 * * *', name='nightly')
"""


def test_entries_are_listed_run_and_disabled(redis: Any, call: Call, tmp_path: Path) -> None:
    assert call('cron-jobs') == (0, 'No running worker has cron entries. Start one: rq-leveldb worker --cron FILE\n')
    (tmp_path / 'config.py').write_text(CONFIG)
    WorkerCron(site_of(Worker(['clock'], connection=redis)), str(tmp_path / 'config.py')).step()
    theirs = CronScheduler(redis, name='theirs')
    theirs.register(json.load, 'default', interval=60)
    theirs.register_birth()

    assert '0 5 * * *' in call('cron-jobs')[1]
    entries = {entry['name']: entry for entry in json.loads(call('cron-jobs', '--json')[1])['entries']}
    nightly = entries['nightly']
    assert (nightly['is_enabled'], nightly['cron'], entries['json.load']['id']) == (True, '0 5 * * *', None)
    assert datetime.fromisoformat(nightly['next_at'].removesuffix('Z') + '+00:00') > datetime.now(timezone.utc)

    assert call('cron-jobs', 'disable', 'nightly') == (0, 'Disabled nightly.\n')
    assert 'disabled' in call('cron-jobs')[1]
    assert call('cron-jobs', 'run', nightly['id'][:8]) == (0, 'A worker runs nightly.\n')
    due = Due.decode(redis.get(due_key(nightly['id'])))
    assert due is not None
    assert due.is_wanted
    assert due.is_disabled
    shown = json.loads(call('cron-jobs', 'enable', 'nightly', '--json')[1])['entries']
    assert [entry['is_enabled'] for entry in shown] == [True] * 4
    assert call('cron-jobs', 'run')[0] == 2
    assert 'disabled' not in call('cron-jobs')[1]
    for name, reason in (
        ('json.dumps', '2 entries have the name json.dumps'),
        ('json.load', "an entry of RQ's own rq cron"),
        ('nothing', 'no running worker has a cron entry nothing'),
    ):
        code, text = call('cron-jobs', 'run', name)
        assert (code, reason in text) == (1, True)
