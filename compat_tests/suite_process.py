"""What the suites of RQ and redis-py have in common when they run: a process that gives its output, and arguments."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path

from compat_tests import download


def run(
    command: list[str], time_limit: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout, with nothing to read and one stream of output.

    Args:
        command: the command.
        time_limit: seconds that it may take.
        environment: its environment; None for this process' own.
    """
    return subprocess.run(
        command,
        cwd=download.CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        timeout=time_limit,
    )


def parser(program: str, about: str) -> argparse.ArgumentParser:
    """Return a parser of the arguments that each suite takes.

    Args:
        program: how it is called.
        about: what it does.
    """
    made = argparse.ArgumentParser(prog=program, description=about)
    made.add_argument('--against', choices=['store', 'redis'], default='store')
    made.add_argument('--inside', type=Path, help=argparse.SUPPRESS)
    made.add_argument('--report', type=Path, help=argparse.SUPPRESS)
    made.add_argument('arguments', nargs='*', metavar='-- PYTEST ARGUMENT')
    return made
