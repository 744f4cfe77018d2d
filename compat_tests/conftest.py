"""How hard hypothesis looks, and the long runs that begin ahead of their tests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from compat_tests.ahead import BEGIN, Ahead

# `ci` is the default; `--hypothesis-profile=deep` looks for hours.
_COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.register_profile('ci', _COMMON, max_examples=80)
settings.register_profile('deep', _COMMON, max_examples=5000)
settings.load_profile('ci')

_AHEAD = pytest.StashKey[Ahead]()
_TOLD = pytest.StashKey[list[tuple[str, tuple[str, ...]]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Get ready for runs that begin ahead, and for what tests tell."""
    config.stash[_AHEAD] = Ahead('compat_tests.rq_suite')
    config.stash[_TOLD] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules with a run that begins ahead last."""
    items.sort(key=lambda item: hasattr(getattr(item, 'module', None), BEGIN))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the runs of all modules that were collected."""
    if not session.config.option.collectonly:
        for item in session.items:
            if hasattr(getattr(item, 'module', None), BEGIN):
                session.config.stash[_AHEAD].begin(item.module)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End runs that nobody waits for any more."""
    config.stash[_AHEAD].stop()


@pytest.fixture
def ahead(request: pytest.FixtureRequest) -> Future[Any]:
    """What the run of this module comes to."""
    return request.config.stash[_AHEAD].begin(request.module)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what tests told."""
    for title, lines in config.stash[_TOLD]:
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str, tuple[str, ...]], None]:
    """Call it with a title and lines to have them shown at the end of the session."""

    def told(title: str, lines: tuple[str, ...]) -> None:
        request.config.stash[_TOLD].append((title, lines))

    return told
