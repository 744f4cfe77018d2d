"""sentry-sdk's RqIntegration: one transaction for each job that was enqueued, and one event for each that fails."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from rq import Queue

from compat_tests.tools.place import Place, need

JOBS = 'compat_tests.tools.jobs'
APPLICATION = 'compat_tests.tools.sentry_application'
WORKERS = {
    'ours': ('rq-leveldb', 'worker', '--no-http', '--import', APPLICATION, '--max-children', '2'),
    'ours, by a URL': ('rq', 'worker', '-c', APPLICATION, '-w', 'rq_leveldb.Worker'),
    "RQ's": ('rq', 'worker', '-c', APPLICATION),
    "RQ's, without forks": ('rq', 'worker', '-c', APPLICATION, '-w', 'rq.SimpleWorker'),
}


@pytest.mark.parametrize('worker', WORKERS)
def test_each_job_is_one_transaction(store: Place, tmp_path: Path, worker: str) -> None:
    need('sentry_sdk')
    queue = Queue(connection=store.client)
    for number in range(5):
        queue.enqueue(f'{JOBS}.add', number, 1)
    queue.enqueue(f'{JOBS}.fail')
    sent = tmp_path / 'sent'
    sent.touch()
    store.run(*WORKERS[worker], '--burst', SENTRY_FILE=str(sent))
    assert queue.finished_job_registry.count == 5
    items = [json.loads(line) for line in sent.read_text().splitlines()]
    transactions = Counter(item[1] for item in items if item[0] == 'transaction')
    assert transactions == {f'{JOBS}.add': 5, f'{JOBS}.fail': 1}
    assert [item[1:] for item in items if item[0] == 'event'] == [[f'{JOBS}.fail', 'ValueError']]
