"""The page as a person sees it, in headless Chromium; without Chromium or playwright there is nothing to test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.http.support import TOKEN, FrontProcess

playwright = pytest.importorskip('playwright.sync_api')
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no Chromium here')

FLAGS = (
    *('--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'),
    *('--disable-component-update', '--disable-sync'),
)
# Elements that a keyboard or a screen reader meets and that have no name; ids that are there twice.
NAMELESS = """() => {
  const named = (item) => item.getAttribute('aria-label') || item.textContent || item.labels?.length;
  const bad = [...document.querySelectorAll('a, button, input, select, summary')].filter((item) => !named(item));
  const ids = [...document.querySelectorAll('[id]')].map((item) => item.id);
  return bad.map((item) => item.outerHTML).concat(ids.filter((id, index) => ids.indexOf(id) !== index));
}"""


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """Return what the browser complains of: errors of scripts, and what the security policy blocks."""
    return []


@pytest.fixture
def open_page(browser: Any, start_front: Callable[..., FrontProcess], complaints: list[str]) -> Iterator[Any]:
    front = start_front()
    contexts = []

    def complain(wrong: bool, text: str) -> None:
        if wrong:
            complaints.append(text)

    def open_(**options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.on('console', lambda message: complain(message.type == 'error', message.text))
        page.on('request', lambda request: complain(not request.url.startswith(front.url), request.url))
        page.on('dialog', lambda dialog: dialog.accept())
        page.goto(front.url)
        return page

    yield open_
    for context in contexts:
        context.close()


def log_in(page: Any) -> Any:
    page.get_by_label('Token').fill(TOKEN)
    page.keyboard.press('Enter')
    page.get_by_role('heading', name='Overview').wait_for()
    return page


@pytest.mark.parametrize(
    'options',
    [
        {'color_scheme': 'light'},
        {'color_scheme': 'dark'},
        {'viewport': {'width': 360, 'height': 740}, 'has_touch': True, 'is_mobile': True},
    ],
)
def test_every_page_can_be_seen_and_is_named(
    open_page: Any, complaints: list[str], connection: Any, work: Callable[..., None], options: dict[str, Any]
) -> None:
    from rq import Queue

    queue = Queue('default', connection=connection)
    failed = queue.enqueue('http_tasks.fail', 'a reason\nof several lines')
    work()
    queue.enqueue('http_tasks.echo', 'x' * 300, meta={'long': 'y' * 300})
    page = log_in(open_page(**options))
    for path in ('#/', '#/jobs/queued', '#/jobs/failed', f'#/job/{failed.id}', '#/workers', '#/schedules'):
        page.goto(f'{page.url.partition("#")[0]}{path}')
        page.locator('main h1').wait_for()
        page.wait_for_load_state()
        assert page.evaluate(NAMELESS) == []
        assert page.locator('h1').count() == 1
        # Nothing has to be scrolled sideways.
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth'), path
    assert complaints == []


def test_failed_jobs_are_looked_into_and_requeued(
    open_page: Any, complaints: list[str], connection: Any, work: Callable[..., None]
) -> None:
    from rq import Queue

    queue = Queue('default', connection=connection)
    job = queue.enqueue('http_tasks.fail', 'because of this')
    work()
    page = log_in(open_page())
    page.get_by_role('link', name='Jobs').click()
    page.get_by_role('link', name='failed').click()
    page.get_by_text('Traceback').click()
    page.get_by_text('ValueError: because of this').wait_for()
    page.get_by_role('button', name='Requeue http_tasks.fail').click()
    page.get_by_text(f'Job {job.id} is queued again.').wait_for()
    assert job.get_status() == 'queued'
    page.get_by_text('Nothing failed.').wait_for()
    assert complaints == []


def test_it_follows_what_happens(open_page: Any, connection: Any, work: Callable[..., None]) -> None:
    from rq import Queue

    page = log_in(open_page())
    page.get_by_text('There are no queues yet.').wait_for()
    Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    page.get_by_role('row', name='mail').wait_for()
    work('mail')
    page.get_by_text('1 finished and 0 failed in ten minutes').wait_for()
    page.get_by_text('Half of the jobs waited').wait_for()


def test_the_keyboard_stays_where_it_was(open_page: Any, connection: Any) -> None:
    from rq import Queue

    Queue('mail', connection=connection).enqueue('http_tasks.add', 1)
    page = log_in(open_page())
    button = page.get_by_role('button', name='Empty queue mail')
    button.focus()
    Queue('mail', connection=connection).enqueue('http_tasks.add', 2)
    page.get_by_role('row', name='mail').get_by_role('link', name='2').wait_for()
    assert page.evaluate('document.activeElement.getAttribute("aria-label")') == 'Empty queue mail'


def test_the_token_is_asked_for_once(open_page: Any, complaints: list[str]) -> None:
    page = open_page()
    page.get_by_label('Token').fill('wrong')
    page.keyboard.press('Enter')
    page.get_by_role('alert').get_by_text('The token is wrong').wait_for()
    log_in(page)
    page.reload()
    page.get_by_role('heading', name='Overview').wait_for()
    page.get_by_role('button', name='Log out').click()
    page.get_by_label('Token').wait_for()
    page.reload()
    page.get_by_label('Token').wait_for()
