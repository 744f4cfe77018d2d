"""The page in headless Chromium; without Chromium or playwright there is nothing to test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.http.page.browsing import Visit
from tests.http.support import FrontProcess
from tests.places import APPLICATIONS

playwright = pytest.importorskip('playwright.sync_api')
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

FLAGS = (
    *('--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'),
    *('--disable-component-update', '--disable-sync'),
)


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # Playwright's own, if it has downloaded one.
        path = CHROMIUM or started.chromium.executable_path
        if not os.path.exists(path):
            pytest.skip('no Chromium here')
        chromium = started.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """Return what the browser complains of: errors of scripts, and what the security policy blocks."""
    return []


@pytest.fixture
def visit(
    browser: Any, start_front: Callable[..., FrontProcess], complaints: list[str]
) -> Iterator[Callable[..., Visit]]:
    """Return what opens the page in a browser of its own, with playwright's options, and accepts what it asks."""
    front = start_front()
    contexts = []

    def complain(wrong: bool, text: str) -> None:
        if wrong:
            complaints.append(text)

    def open_(**options: Any) -> Visit:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.on('console', lambda message: complain(message.type == 'error', message.text))
        page.on('request', lambda request: complain(not request.url.startswith(front.url), request.url))
        page.goto(front.url)
        return Visit(page, front.url)

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def start_worker(url: str) -> Iterator[Callable[..., None]]:
    """Return what starts a worker as users do, with its options and queues."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        command = [sys.executable, '-m', 'rq_leveldb', 'worker', '--url', url, '--no-http', '--import', 'http_tasks']
        path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
        started.append(subprocess.Popen([*command, *arguments], env={**os.environ, 'PYTHONPATH': path}))

    yield start
    for process in started:
        process.terminate()
        process.wait(30)
