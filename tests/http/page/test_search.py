"""Searching jobs on the page; what is searched for is in the address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq import Queue

from tests.http.page.browsing import Visit


def test_a_search_is_kept_in_the_address(visit: Callable[..., Visit], connection: Any) -> None:
    mail, images = (Queue(name, connection=connection) for name in ('mail', 'images'))
    mail.enqueue('http_tasks.echo', 'Invoice 7')
    images.enqueue('http_tasks.echo', 'invoice 7, scanned')
    images.enqueue('http_tasks.echo', 'portrait')
    seen = visit().log_in().go('jobs/queued', 'Queued jobs')
    seen.see('3 queued jobs')
    seen.page.get_by_label('Search').fill('INVOICE 7')
    seen.page.get_by_role('combobox', name='Queue').select_option('images')
    seen.click('button', 'Search')
    seen.see('1 queued jobs')
    seen.page.reload()
    seen.see('1 queued jobs')
    assert seen.page.get_by_label('Search').input_value() == 'INVOICE 7'
    seen.click('link', 'Clear')
    seen.see('3 queued jobs')
    seen.page.go_back()
    seen.see('1 queued jobs')


def test_an_id_finds_the_job_in_any_state(
    visit: Callable[..., Visit], connection: Any, work: Callable[..., None]
) -> None:
    job = Queue('default', connection=connection).enqueue('http_tasks.add', 7)
    work()
    seen = visit().log_in().go('jobs/queued', 'Queued jobs')
    seen.page.get_by_label('Search').fill(job.id)
    seen.page.keyboard.press('Enter')
    seen.page.get_by_role('heading', name='http_tasks.add(7)').wait_for()
    assert seen.page.get_by_label('Result').inner_text() == '7'


def test_a_time_is_in_the_address_as_utc(visit: Callable[..., Visit], connection: Any) -> None:
    Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    seen = visit(timezone_id='Asia/Tokyo').log_in().go('jobs/queued', 'Queued jobs')
    seen.page.get_by_text('More filters').click()
    seen.page.get_by_label('Since').fill('2031-01-31T09:00')
    seen.click('button', 'Search')
    seen.see('No job matches.')
    assert 'since=2031-01-31T00%3A00%3A00.000Z' in seen.page.url
    assert seen.page.get_by_label('Since').input_value() == '2031-01-31T09:00'


def test_a_long_list_comes_in_pages(visit: Callable[..., Visit], connection: Any) -> None:
    queue = Queue('mail', connection=connection)
    for number in range(60):
        queue.enqueue('http_tasks.add', number)
    seen = visit().log_in().go('jobs/queued', 'Queued jobs')
    seen.see('50 queued jobs; there may be more')
    seen.click('button', 'More')
    seen.see('60 queued jobs')
    seen.see('http_tasks.add(59)')
