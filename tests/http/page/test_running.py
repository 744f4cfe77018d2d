"""Why a job does not run, what a running one does, queues, workers and schedules on the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from rq import Queue, SimpleWorker

from rq_leveldb import Worker
from rq_leveldb.jobs.cron_entries import find_cron_entries
from rq_leveldb.paused_queues import is_paused
from rq_leveldb.worker.cron import WorkerCron
from tests.http.page.browsing import Visit
from tests.http.support import ended, fold, look_at_depths
from tests.places import APPLICATIONS
from tests.worker.support import site_of


def test_it_follows_what_happens(visit: Callable[..., Visit], connection: Any, work: Callable[..., None]) -> None:
    seen = visit().log_in()
    seen.see('First steps')
    Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    seen.page.get_by_role('row', name='mail').wait_for()
    work('mail')
    seen.see('1 finished and 0 failed in ten minutes')
    seen.see('Half of the jobs waited')
    seen.page.get_by_text('As a table').first.click()
    table = seen.page.get_by_role('table', name='Throughput, for each ten seconds in which there was something')
    assert table.locator('tbody td').all_inner_texts() == ['1', '0']
    # Hovering over a bar says what it is.
    assert (
        seen.page.locator('.plot g title').first.evaluate('item => item.textContent').endswith(': 1 finished, 0 failed')
    )


def test_a_day_and_thirty_days_are_chosen_and_stay_chosen(visit: Callable[..., Visit], connection: Any) -> None:
    now = time.time()
    mail = Queue('mail', connection=connection)
    mail.enqueue('http_tasks.add', 1)
    seen = visit().log_in()
    seen.click('button', 'Day')
    seen.see('0 finished and 0 failed in a day.')
    seen.see('No job ended in a day.')
    seen.see('No job was seen waiting in a day.')
    assert seen.page.locator('.plot .top').all_inner_texts() == ['', '', '']
    look_at_depths(mail)
    ended(connection, *[(now - 1800, 'mail', 'tasks.send', 1, 500, 1500)] * 7)
    ended(connection, (now - 7 * 3600, 'mail', 'tasks.send', 2, 0, 0), (now - 9 * 86400, 'other', 'tasks.old', 3, 0, 0))
    fold(connection)
    seen.click('button', '30 days')
    seen.see('7 finished and 1 failed in thirty days; at most 7 in six hours.')
    seen.page.get_by_role('row', name='tasks.old').wait_for()
    seen.go('queue/mail', 'Queue mail')
    seen.click('button', 'Day')
    seen.see('7 finished and 1 failed in a day; at most 7 in fifteen minutes.')
    seen.see('On average, a job waited 438 ms (strong) and ran for 1.3 s (pale).')
    seen.see('At most 1 job waited at once.')
    assert seen.page.locator('.plot .top').all_inner_texts() == ['8', '2 s', '1']
    assert seen.page.get_by_role('row', name='tasks.old').count() == 0
    seen.page.reload()
    seen.see('7 finished and 1 failed in a day')
    seen.page.get_by_text('As a table').first.click()
    table = seen.page.get_by_role('table', name='Throughput, for each fifteen minutes in which there was something')
    assert table.locator('tbody td').all_inner_texts() == ['0', '1', '7', '0']


def test_a_queue_that_nobody_serves_is_marked(visit: Callable[..., Visit], connection: Any) -> None:
    queue = Queue('mail', connection=connection)
    job = queue.enqueue('http_tasks.add', 1)
    seen = visit().log_in()
    seen.see('No worker serves mail, where a job waits.')
    seen.page.get_by_role('row', name='mail').get_by_text('nobody').wait_for()
    seen.go(f'job/{job.id}', 'http_tasks.add(1)')
    seen.see('It is the next in its queue. No worker serves the queue mail.')
    seen.go('queue/mail', 'Queue mail')
    seen.see('No worker serves this queue.')
    worker = SimpleWorker([queue], connection=connection, name='postman')
    worker.register_birth()
    seen.go('', 'Overview').go('queue/mail', 'Queue mail')
    seen.page.get_by_role('row', name='postman').wait_for()
    assert seen.page.get_by_text('No worker serves').count() == 0
    worker.register_death()


def test_a_queue_is_emptied_after_a_question(visit: Callable[..., Visit], connection: Any) -> None:
    queue = Queue('mail', connection=connection)
    queue.enqueue('http_tasks.add', 1)
    seen = visit().log_in()
    seen.page.get_by_role('rowheader').get_by_role('link', name='mail').click()
    seen.click('button', 'Empty queue mail')
    seen.see('mail was emptied.')
    assert (queue.count, seen.asked) == (0, ['Delete the 1 jobs that wait in mail? This cannot be undone.'])


def test_a_queue_is_paused_and_resumed(visit: Callable[..., Visit], connection: Any) -> None:
    job = Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    seen = visit().log_in()
    seen.click('button', 'Pause queue mail')
    seen.page.get_by_role('row', name='mail').get_by_text('paused').wait_for()
    seen.gone('No worker serves')
    seen.go(f'job/{job.id}', 'http_tasks.add(1)').see('The queue mail is paused.')
    seen.go('queue/mail', 'Queue mail').see('This queue is paused: workers take nothing from it.')
    seen.click('button', 'Resume queue mail')
    seen.gone('This queue is paused')
    assert not is_paused(Queue('mail', connection=connection))


def test_a_cron_entry_is_disabled_and_run(visit: Callable[..., Visit], connection: Any) -> None:
    cron = WorkerCron(site_of(Worker(['clock'], connection=connection)), str(APPLICATIONS / 'cron_config.py'))
    cron.step()
    seen = visit().log_in().go('schedules', 'Schedules')
    seen.click('button', 'Disable: cli_jobs.add')
    seen.page.get_by_role('row', name='cli_jobs.add').get_by_text('disabled').wait_for()
    seen.click('button', 'Run now: cli_jobs.add')
    seen.see('A worker enqueues it in a moment.')
    seen.click('button', 'Enable: cli_jobs.add')
    seen.gone('disabled')
    (entry,) = find_cron_entries(connection, [])
    assert not entry.is_disabled


def test_a_job_that_waits_names_what_it_waits_for(
    visit: Callable[..., Visit], connection: Any, work: Callable[..., None]
) -> None:
    queue = Queue('default', connection=connection)
    first = queue.enqueue('http_tasks.fail', 'no', description='the first')
    second = queue.enqueue('http_tasks.add', 1, depends_on=first, description='the second')
    seen = visit().log_in().go(f'job/{second.id}', 'the second')
    seen.see('It waits until the jobs that it depends on have finished.')
    work()
    seen.see('It waits for the first, which failed.')
    seen.page.get_by_role('row', name='the first').get_by_role('link').click()
    seen.page.get_by_role('heading', name='the first', level=1).wait_for()
    seen.page.get_by_role('row', name='the second').wait_for()


def test_a_running_job_shows_progress_and_output_as_they_come(
    visit: Callable[..., Visit], connection: Any, start_worker: Callable[..., None]
) -> None:
    job = Queue('mail', connection=connection).enqueue('http_tasks.repeat', 'said', meta={'progress': 40})
    connection.rpush('said', 'line one')
    start_worker('--capture-output=1M', 'mail')
    seen = visit().log_in().go(f'job/{job.id}', str(job.description))
    seen.see('Progress: 40 %')
    seen.see('Output so far')
    connection.rpush('said', 'line two')
    seen.see('line two')
    job.meta['progress'] = 90
    job.save_meta()
    seen.see('Progress: 90 %')
    seen.go('workers', 'Workers')
    row = seen.page.get_by_role('row', name=str(job.description))
    row.get_by_text('http_tasks.repeat', exact=True).wait_for()
    row.get_by_text('MB').wait_for()
    row.get_by_role('button', name='Stop').click()
    seen.see('The worker was asked to stop it.')
    seen.see('No jobs are running.')
    assert seen.asked == ['Stop this job? Its process is killed.']
    assert job.get_status() == 'stopped'


def test_what_is_scheduled_shows_when_it_is_due(visit: Callable[..., Visit], connection: Any) -> None:
    queue = Queue('mail', connection=connection)
    at = datetime.now(timezone.utc) + timedelta(days=3, minutes=1)
    job = queue.enqueue_at(at, 'http_tasks.add', 1)
    seen = visit(timezone_id='UTC', locale='en-GB').log_in().go('schedules', 'Schedules')
    date = f'{at.day} {at:%b %Y}'
    for path, heading in (
        ('schedules', 'Schedules'),
        ('jobs/scheduled', 'Scheduled jobs'),
        (f'job/{job.id}', 'http_tasks.add(1)'),
    ):
        seen.go(path, heading)
        text = seen.page.locator('main').inner_text()
        assert date in text, text
        assert '(in 3 days)' in text
    seen.click('button', 'Run now: http_tasks.add(1)')
    seen.see('A worker with the scheduler takes it in a moment.')
    assert queue.scheduled_job_registry.get_jobs_to_schedule() == [job.id]
