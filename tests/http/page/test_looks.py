"""How the page looks and feels: nothing sticks out, everything has a name, nothing moves away."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rq import Queue

from tests.http.page.browsing import Visit
from tests.http.support import ended, fail, fold, trace
from tests.until import until


def test_every_page_fits_and_is_accessible(
    visit: Callable[..., Visit], complaints: list[str], connection: Any, work: Callable[..., None]
) -> None:
    axe = pytest.importorskip('axe_playwright_python.sync_playwright').Axe()
    queue = Queue('default', connection=connection)
    done = queue.enqueue('http_tasks.add', 1)
    bad = queue.enqueue('http_tasks.fail', 'a reason\nof several lines')
    work()
    waiting = queue.enqueue('http_tasks.echo', 'x' * 300, meta={'long': 'y' * 300, 'progress': 30})
    held = queue.enqueue('http_tasks.add', 1, depends_on=waiting)
    queue.enqueue_in(timedelta(days=2), 'http_tasks.echo', 'z' * 300)
    name = 'tasks.' + 'f' * 80
    ended(connection, *((time.time() - 1000 * each, 'default', name, each % 3 + 1, 500, 900) for each in range(90)))
    fold(connection)
    seen = visit()
    seen.page.get_by_label('Token').wait_for()
    assert axe.run(seen.page).response['violations'] == []
    seen.log_in()
    pages = {
        '': 'Overview',
        'failed': 'Failed jobs',
        'jobs/queued': 'Queued jobs',
        'jobs/failed?search=reason': 'Failed jobs',
        'jobs/scheduled': 'Scheduled jobs',
        'queue/default?last=month': 'Queue default',
        'workers': 'Workers',
        'schedules': 'Schedules',
        f'job/{bad.id}': str(bad.description),
        f'job/{done.id}': str(done.description),
        f'job/{waiting.id}': str(waiting.description),
        f'job/{held.id}': str(held.description),
    }
    for path, heading in pages.items():
        seen.go(path, heading)
        for table in seen.page.get_by_text('As a table').all():
            table.click()
        for width, scheme in ((1920, 'light'), (1280, 'dark'), (390, 'light'), (320, 'dark')):
            seen.page.set_viewport_size({'width': width, 'height': 740})
            seen.page.emulate_media(color_scheme=scheme, reduced_motion='reduce')
            # Nothing has to be scrolled sideways.
            assert seen.page.evaluate('document.documentElement.scrollWidth <= innerWidth'), (path, width)
            found = axe.run(seen.page).response
            assert found['passes'], 'axe did not look'
            assert [(item['id'], item['nodes'][0]['html']) for item in found['violations']] == [], (path, width)
    assert complaints == []


def test_before_the_login_there_is_only_the_login(visit: Callable[..., Visit]) -> None:
    page = visit().page
    page.get_by_label('Token').wait_for()
    assert not page.get_by_role('navigation').is_visible()
    assert not page.get_by_role('button', name='Log out').is_visible()


def test_an_empty_page_says_how_to_begin(visit: Callable[..., Visit], connection: Any) -> None:
    seen = visit(permissions=['clipboard-read', 'clipboard-write']).log_in()
    seen.see('rq-leveldb worker --import tasks')
    seen.click('button', 'Copy: In a terminal')
    seen.see('Copied.')
    assert seen.page.evaluate('navigator.clipboard.readText()') == 'rq-leveldb worker --import tasks'
    seen.see('No job started in ten minutes.')
    Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    seen.page.get_by_role('row', name='mail').wait_for()
    assert seen.page.get_by_text('First steps').count() == 0


def test_a_click_draws_no_frame_and_leaves_the_header_where_it_is(visit: Callable[..., Visit], connection: Any) -> None:
    for number in range(60):
        fail(connection, 'mail', 'echo', trace(f'ValueError: {number}'), args=(number,))
    seen = visit().log_in().go('jobs/failed', 'Failed jobs')
    # Which of them are on the first page depends on their ids, if they failed in the same second.
    last = seen.page.get_by_role('link', name='http_tasks.echo(').last
    last.scroll_into_view_if_needed()
    name = last.inner_text()
    last.click()
    seen.page.get_by_role('heading', name=name, exact=True).wait_for()
    # The new page begins at its top, and a screen reader as well; no frame surrounds all of it.
    assert seen.page.evaluate('[document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]') == [
        'main', 'none',
    ]  # fmt: skip
    assert seen.page.evaluate('scrollY') == 0
    seen.page.go_back()
    seen.see('50 failed jobs')
    seen.page.mouse.wheel(0, 2000)
    # Not by the page's own waiting: its security policy allows no text to be run.
    until(lambda: seen.page.evaluate('scrollY > 500'))
    assert seen.page.evaluate('document.querySelector("header").getBoundingClientRect().top') == 0


def test_what_failed_is_red_and_zeros_are_quiet(visit: Callable[..., Visit], connection: Any) -> None:
    fail(connection, 'mail', 'echo', trace('ValueError: no'))
    seen = visit(color_scheme='light').log_in()
    colour = 'item => getComputedStyle(item).color'
    shown = {
        item.inner_text().split('\n')[1]: item.locator('strong span') for item in seen.page.locator('.numbers li').all()
    }
    assert (shown['failed'].inner_text(), shown['failed'].evaluate(colour)) == ('1', 'rgb(179, 38, 30)')
    assert (shown['queued'].inner_text(), shown['queued'].evaluate(colour)) == ('0', 'rgb(85, 96, 110)')


def test_the_keyboard_stays_where_it_was(visit: Callable[..., Visit], connection: Any) -> None:
    Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    seen = visit().log_in()
    seen.page.get_by_role('button', name='Empty queue mail').focus()
    Queue('mail', connection=connection).enqueue('http_tasks.add', 2)
    seen.page.get_by_role('row', name='mail').get_by_role('link', name='2').wait_for()
    assert seen.page.evaluate('document.activeElement.getAttribute("aria-label")') == 'Empty queue mail'


def test_the_token_is_asked_for_once(visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.page
    page.get_by_label('Token').fill('wrong')
    page.keyboard.press('Enter')
    page.get_by_role('alert').get_by_text('The token is wrong').wait_for()
    seen.log_in()
    page.reload()
    page.get_by_role('heading', name='Overview').wait_for()
    page.get_by_role('button', name='Log out').click()
    page.get_by_label('Token').wait_for()
    page.reload()
    page.get_by_label('Token').wait_for()
