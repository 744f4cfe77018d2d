"""rq-scheduler: its library, its command, and jobs that it has enqueued."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from rq import Queue

from compat_tests.tools.jobs import add
from compat_tests.tools.place import Place, need
from rq_leveldb import Redis

need('rq_scheduler')

from rq_scheduler import Scheduler  # noqa: E402 - only if it is there


def test_rq_scheduler(store: Place) -> None:
    scheduler = Scheduler(connection=Redis.from_url(store.url))
    soon = datetime.now(timezone.utc).replace(tzinfo=None)
    once = scheduler.enqueue_at(soon, add, 20, 22)
    later = scheduler.enqueue_in(timedelta(days=1), add, 1, 2)
    repeated = scheduler.schedule(soon, add, args=[1, 1], interval=1, repeat=3)
    cron = scheduler.cron('0 0 1 1 *', add, args=[3, 4])
    assert {job.id for job in scheduler.get_jobs()} == {once.id, later.id, repeated.id, cron.id}
    assert cron in scheduler
    scheduler.cancel(later)
    assert later not in scheduler

    queue = Queue(connection=store.client)
    with store.running('rqscheduler', '--interval', '0.2', '--verbose') as program:
        program.until(lambda: {once.id, repeated.id} <= set(queue.job_ids))
        program.until(lambda: repeated.get_meta()['repeat'] == 0 and repeated not in scheduler)
    store.run('rq', 'worker', '--burst')
    assert once.return_value() == 42
    assert [job.id for job in scheduler.get_jobs()] == [cron.id]
    store.run('rqscheduler', '--burst', '--quiet')
