"""redis-py's own test suite, from the source distribution of the installed release, against the store or a real Redis.

``python -m compat_tests.redis_py_suite [--against store|redis] [-- PYTEST ARGUMENT...]`` from the checkout; the
arguments say what to run instead of ``FILES``.

Only files that ask a server things are run, and only those for redis-py's blocking client: the others test redis-py.
They run in a private network where this machine allows one, since some speak to localhost:6379 whatever they are told.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from compat_tests import download, failure_list, private_network, suite_process
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess

PORT = 6379
TIME_LIMIT = 400

FILES = (
    'tests/test_commands.py',
    'tests/test_data_structure.py',
    'tests/test_encoding.py',
    'tests/test_lock.py',
    'tests/test_monitor.py',
    'tests/test_pipeline.py',
    'tests/test_pubsub.py',
    'tests/test_scripting.py',
)
MARKS = 'not redismod and not onlycluster and not ssl and not replica'


class SuiteUnavailableError(RuntimeError):
    """redis-py's test suite cannot be had or cannot be run here."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        passed, failed: names of tests, as ``test_commands::TestRedisCommands::test_get``.
        output: all that pytest printed.
    """

    passed: frozenset[str]
    failed: frozenset[str]
    output: str


def known_failures() -> dict[str, str]:
    """Return by test why it fails on the store: what ``redis_py_suite_failures.txt`` says."""
    return failure_list.read('redis_py_suite_failures.txt')


def run(against: str, arguments: list[str]) -> Outcome:
    """Run the suite against a server of its own.

    Args:
        against: ``store`` or ``redis``.
        arguments: pytest's, instead of ``FILES``.

    Raises:
        SuiteUnavailableError: if the suite cannot be had, or the private network that it needs.
    """
    try:
        distribution = download.source_distribution('redis', version('redis'))
    except download.UnavailableError as error:
        raise SuiteUnavailableError(str(error)) from None
    with tempfile.TemporaryDirectory(prefix='redis-py-suite-') as work:
        with tarfile.open(distribution) as archive:
            inside = f'redis-{version("redis")}/'
            wanted = (f'{inside}tests/', f'{inside}pyproject.toml')
            for member in archive:
                # Without its package, so that the installed one is tested.
                if member.isfile() and member.name.startswith(wanted) and '..' not in member.name:
                    archive.extract(member, work)
        report = Path(work, 'report.xml')
        command = [sys.executable, '-m', 'compat_tests.redis_py_suite', '--inside', str(Path(work, inside))]
        command += ['--report', str(report), '--against', against, '--', *(arguments or FILES)]
        done = suite_process.run([sys.executable, private_network.__file__, *command], TIME_LIMIT)
        if done.returncode == private_network.UNAVAILABLE:
            raise SuiteUnavailableError(f"redis-py's tests need a private network: {done.stdout.strip()}")
        if not report.exists():
            raise RuntimeError(f'pytest wrote no report:\n{done.stdout[-5000:]}')
        passed: set[str] = set()
        failed: set[str] = set()
        for case in ElementTree.parse(report).iter('testcase'):
            kinds = {child.tag for child in case}
            place = (case.get('classname') or '').removeprefix('tests.').replace('.', '::')
            if 'skipped' not in kinds:
                (failed if kinds & {'failure', 'error'} else passed).add(f'{place}::{case.get("name")}')
    return Outcome(frozenset(passed - failed), frozenset(failed), done.stdout)


def _inside(root: Path, against: str, report: Path, arguments: list[str]) -> int:
    """Start the server, then run the suite in ``root``; return pytest's exit status."""
    command = [sys.executable, '-m', 'pytest', '-q', '--tb=line', '-p', 'no:cacheprovider', '-W', 'ignore']
    command += ['--timeout=30', f'--junit-xml={report}', '-m', MARKS, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith('PYTEST_')}
    with tempfile.TemporaryDirectory(prefix='redis-py-suite-server-') as directory:
        server: RealRedis | StoreProcess
        server = RealRedis(port=PORT) if against == 'redis' else StoreProcess(Path(directory, 'store'), port=PORT)
        with server:
            return subprocess.run(command, cwd=root, env=environment, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    """Run from the command line; return 0 if nothing failed."""
    parser = suite_process.parser('python -m compat_tests.redis_py_suite', "Run redis-py's own test suite.")
    options = parser.parse_args()
    if options.inside is not None:
        return _inside(options.inside, options.against, options.report, options.arguments)
    try:
        outcome = run(options.against, options.arguments)
    except SuiteUnavailableError as error:
        print(error, file=sys.stderr)
        return 2
    print(outcome.output)
    return bool(outcome.failed)


if __name__ == '__main__':
    raise SystemExit(main())
