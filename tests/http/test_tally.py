"""What the worker counts is what the front shows."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rq import Queue

from rq_leveldb.worker.worker import Worker
from tests.http.support import Api


def test_counters_and_histograms_over_all_workers(api: Api, connection: Any) -> None:
    for _ in range(3):
        api.enqueue('add', 1)
        api.enqueue('nap', 0.2, queue='mail')
    api.enqueue('fail')
    for _ in range(2):
        queues = [Queue(name, connection=connection) for name in ('default', 'mail')]
        Worker(queues, connection=connection, max_children=2).work(burst=True)
        api.enqueue('add', 1)
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(api.get('/metrics').text)
        for sample in family.samples
    }
    default, mail = ('queue', 'default'), ('queue', 'mail')
    assert samples['rq_leveldb_jobs_started_total', default] == 5
    assert samples['rq_leveldb_jobs_started_total', mail] == 3
    assert samples['rq_leveldb_jobs_finished_total',] == 7
    assert samples['rq_leveldb_jobs_failed_total',] == 1
    assert samples['rq_leveldb_job_duration_seconds_count', mail] == 3
    assert 0.6 <= samples['rq_leveldb_job_duration_seconds_sum', mail] < 10
    assert samples['rq_leveldb_job_duration_seconds_bucket', ('le', '0.1'), mail] == 0
    assert samples['rq_leveldb_job_duration_seconds_bucket', ('le', '+Inf'), mail] == 3
    assert samples['rq_leveldb_job_wait_seconds_count', default] == 5
