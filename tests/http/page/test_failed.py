"""Failed jobs on the page: why they failed, and requeueing and deleting them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rq import Queue

from tests.http.page.browsing import Visit
from tests.http.support import fail, trace


@pytest.fixture
def failed(connection: Any) -> list[str]:
    """Store four failed jobs in two groups, and return their ids; the last one is the other group's."""
    jobs = [fail(connection, 'mail', 'echo', trace('ValueError: no address'), args=(number,)) for number in range(3)]
    return [*jobs, fail(connection, 'images', 'price', trace('OSError: [Errno 2] no file'))]


def left(connection: Any) -> int:
    return int(connection.zcard('rq:failed:mail') + connection.zcard('rq:failed:images'))


def test_the_overview_says_why_and_a_click_requeues_a_group(
    visit: Callable[..., Visit], complaints: list[str], connection: Any, failed: list[str]
) -> None:
    seen = visit().log_in()
    row = seen.page.get_by_role('row', name='ValueError: no address')
    assert 'http_tasks.echo' in row.inner_text()
    row.get_by_role('img', name='3 in the last 24 hours, 3 in the last one').wait_for()
    row.get_by_role('button', name='Requeue').click()
    seen.see('3 jobs queued again.')
    assert sorted(Queue('mail', connection=connection).job_ids) == sorted(failed[:3])
    assert seen.asked == []
    row.wait_for(state='detached')
    seen.see('OSError: [Errno 2] no file')
    assert complaints == []


def test_a_group_is_deleted_after_a_question(visit: Callable[..., Visit], connection: Any, failed: list[str]) -> None:
    seen = visit().log_in()
    seen.click('link', 'Failed')
    seen.page.get_by_role('row', name='ValueError: no address').get_by_role('button', name='Delete').click()
    seen.see('3 jobs deleted.')
    assert seen.asked == ['Delete the 3 jobs of http_tasks.echo with ValueError? This cannot be undone.']
    assert left(connection) == 1
    seen.see('1 failed jobs, in groups.')
    seen.click('button', 'Delete all: all failed jobs')
    seen.see('Nothing failed.')
    assert left(connection) == 0


def test_a_group_is_looked_into_and_a_selection_requeued(
    visit: Callable[..., Visit], connection: Any, failed: list[str]
) -> None:
    seen = visit().log_in().go('failed', 'Failed jobs')
    seen.click('link', 'ValueError: no address')
    seen.see('3 failed jobs')
    # The group is in the address.
    assert 'error_type=ValueError' in seen.page.url
    for number in (0, 2):
        seen.page.get_by_role('checkbox', name=f'Select http_tasks.echo({number})').check()
    seen.click('button', 'Requeue 2 selected: the 2 selected jobs')
    seen.see('2 jobs queued again.')
    assert sorted(Queue('mail', connection=connection).job_ids) == sorted([failed[0], failed[2]])
    seen.see('1 failed jobs')
    seen.click('button', 'Delete all: all failed jobs that match')
    seen.see('No job matches.')
    # That of the other group does not match.
    assert left(connection) == 1


def test_one_job_is_looked_into_and_requeued(
    visit: Callable[..., Visit], complaints: list[str], connection: Any, work: Callable[..., None]
) -> None:
    job = Queue('default', connection=connection).enqueue('http_tasks.fail', 'because of this')
    work()
    seen = visit().log_in().go('jobs/failed', 'Failed jobs')
    seen.see('ValueError: because of this')
    seen.click('link', str(job.description))
    own = seen.page.get_by_label('Traceback', exact=True)
    own.wait_for()
    # The application's frames; those of RQ are folded.
    assert 'in fail' in own.inner_text()
    assert 'perform_job' not in own.inner_text()
    whole = seen.page.get_by_label('Whole traceback')
    assert not whole.is_visible()
    seen.page.locator('summary', has_text='Whole traceback').click()
    assert 'perform_job' in whole.inner_text()
    seen.click('button', f'Requeue {job.description}')
    seen.see(f'Job {job.id} is queued again.')
    assert job.get_status() == 'queued'
    assert complaints == []


def test_only_the_newest_are_grouped_and_the_page_says_so(visit: Callable[..., Visit], connection: Any) -> None:
    from rq.job import Job, JobStatus

    pipe = connection.pipeline(transaction=False)
    for number in range(1003):
        job = Job.create('http_tasks.add', (number,), connection=connection, origin='mail', status=JobStatus.FAILED)
        job.save(pipeline=pipe)
        job.failed_job_registry.add(job, ttl=86400, pipeline=pipe)
    pipe.sadd(Queue.redis_queues_keys, 'rq:queue:mail')
    pipe.execute()
    seen = visit().log_in().go('failed', 'Failed jobs')
    seen.see('Only the newest 1,000 of 1,003 failed jobs were grouped.')
    # A group may have more jobs than were counted, and all of them are deleted.
    group = 'all jobs (1000 of the newest 1000) of http_tasks.add with unknown'
    seen.click('button', f'Delete: {group}')
    seen.see('1,003 jobs deleted.')
    assert seen.asked == [f'Delete {group}? This cannot be undone.']
    assert left(connection) == 0
