"""RQ's own test suite, from its source distribution, unmodified, against the store or a real Redis on port 6379.

``python -m compat_tests.rq_suite [--against store|redis] [--slow] [-- PYTEST ARGUMENT...]`` from the checkout;
the arguments say what to run instead of everything.

The tests are those of the installed rq release: pip downloads its source distribution once, into ``.cache`` in the
checkout. They run in a copy of its directory without its ``rq`` package, so that the installed one is tested. The suite
speaks to localhost:6379 and nothing else, so everything runs in a private network where this machine allows one, and
on the machine's own port 6379 if that is free where it does not.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from compat_tests import download, private_network, suite_process
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess

PORT = 6379
TIME_LIMIT = 900
_PR_SET_CHILD_SUBREAPER = 36
# Paths that RQ's tests have no choice about.
_WRITTEN = ('/tmp/rq-tests.txt', '/tmp/.rq_sentinel', '/tmp/.rq_sentinel_warm', '/tmp/.rq_sentinel_cold')


class SuiteUnavailableError(RuntimeError):
    """RQ's test suite cannot be had or cannot be run here."""


@dataclass(frozen=True)
class Outcome:
    """What a run of the suite came to.

    Attributes:
        status: pytest's exit status.
        passed, skipped, failed: names of tests, as ``module.Class::test``.
        output: all that pytest printed.
    """

    status: int
    passed: frozenset[str]
    skipped: frozenset[str]
    failed: frozenset[str]
    output: str

    @property
    def closing_line(self) -> str:
        """The last line that pytest printed."""
        return self.output.strip().rpartition('\n')[2]


@dataclass(frozen=True)
class Settled:
    """What a run came to after what failed got more chances.

    Attributes:
        passed: tests that passed in the end.
        failed: tests that failed every time.
        notes: pytest's closing lines, one a run.
    """

    passed: frozenset[str]
    failed: frozenset[str]
    notes: tuple[str, ...]


def settle(first: Outcome, run_again: Callable[[list[str]], Outcome], chances: int = 2) -> Settled:
    """Run what failed again, alone.

    Some of RQ's tests sleep for a quarter of a second and expect another process to have got somewhere meanwhile. On a
    busy machine they fail now and then, on Redis too.

    Args:
        first: the run of everything.
        run_again: runs the tests that pytest's arguments name.
        chances: how often.
    """
    settled = Settled(first.passed, first.failed, (first.closing_line,))
    for _ in range(chances):
        if settled.failed:
            again = run_again([path_of(name) for name in sorted(settled.failed)])
            note = f'{len(settled.failed)} once more, alone: {again.closing_line}'
            passed, failed = settled.passed | again.passed, settled.failed - again.passed
            settled = Settled(passed, failed, (*settled.notes, note))
    return settled


def path_of(name: str) -> str:
    """Return pytest's argument for a test that an outcome names."""
    place, _, test = name.rpartition('::')
    module, _, group = place.rpartition('.')
    return f'{module.replace(".", "/")}.py::{group}::{test}'


def source_distribution(release: str) -> Path:
    """Return the path of the source distribution of an rq release, downloaded if it is not there yet.

    Raises:
        SuiteUnavailableError: if it cannot be downloaded; carries pip's own words.
    """
    try:
        return download.source_distribution('rq', release)
    except download.UnavailableError as error:
        raise SuiteUnavailableError(str(error)) from None


def unpack(release: str, target: Path) -> Path:
    """Lay out RQ's tests in ``target``; return the directory to run them in."""
    with tarfile.open(source_distribution(release)) as archive:
        if hasattr(tarfile, 'data_filter'):
            archive.extractall(target, filter='data')
        else:
            archive.extractall(target)
    root = target / f'rq-{release}'
    shutil.rmtree(root / 'rq')
    return root


def run(against: str, arguments: list[str], extra_environment: Mapping[str, str] | None = None) -> Outcome:
    """Run the suite in a network where port 6379 is free.

    Args:
        against: ``store`` or ``redis``.
        arguments: pytest's, instead of ``tests``.
        extra_environment: more environment variables.

    Raises:
        SuiteUnavailableError: if the suite cannot be had, port 6379 is taken and no private network is given here, or a
            file that RQ's tests write belongs to another user.
    """
    for path in _WRITTEN:
        if os.path.lexists(path) and os.getuid() not in (0, os.lstat(path).st_uid):
            raise SuiteUnavailableError(
                f"RQ's tests write {path}, which is there and belongs to another user: somebody else ran them on this "
                'machine. Remove it.'
            )
    with tempfile.TemporaryDirectory(prefix='rq-suite-') as work:
        report = Path(work, 'report.xml')
        root = unpack(version('rq'), Path(work))
        command = [sys.executable, '-m', 'compat_tests.rq_suite', '--inside', str(root), '--report', str(report)]
        command += ['--against', against, '--', *(arguments or ['tests'])]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(('RQ_', 'PYTEST_'))}
        # RQ's tests start `rqworker`, which stands beside the interpreter.
        environment['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), environment.get('PATH', os.defpath)])
        environment.update(extra_environment or {})
        done = suite_process.run([sys.executable, private_network.__file__, *command], TIME_LIMIT, environment)
        if done.returncode == private_network.UNAVAILABLE:
            if _port_is_taken():
                raise SuiteUnavailableError(
                    f"RQ's test suite needs port {PORT} of this machine, where something listens already (a Redis?), "
                    f'and this machine gives no private network: {done.stdout.strip()}\n'
                    'Stop what listens there, or allow unprivileged user namespaces.'
                )
            done = suite_process.run(command, TIME_LIMIT, environment)
        passed, skipped, failed = _read_report(report) if report.exists() else (frozenset(),) * 3
    return Outcome(done.returncode, passed, skipped, failed, done.stdout)


def _port_is_taken() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', PORT))
        except OSError:
            return True
    return False


def _read_report(path: Path) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    passed, skipped, failed = set(), set(), set()
    for case in ElementTree.parse(path).iter('testcase'):
        name = f'{case.get("classname")}::{case.get("name")}'
        kinds = {child.tag for child in case}
        if kinds & {'failure', 'error'}:
            failed.add(name)
        elif 'skipped' in kinds:
            skipped.add(name)
        else:
            passed.add(name)
    return frozenset(passed - failed), frozenset(skipped - failed), frozenset(failed)


def _inside(root: Path, against: str, report: Path, arguments: list[str]) -> int:
    """Start the server, then run the suite in ``root``; return pytest's exit status."""
    # Without a limit of its own a test of RQ's pool may wait forever for a worker that got its signal too early.
    command = [sys.executable, '-m', 'pytest', '-q', '-ra', '-p', 'no:cacheprovider', '--timeout=120']
    command += [f'--junit-xml={report}', *arguments]
    _adopt_orphans()
    with tempfile.TemporaryDirectory(prefix='rq-suite-server-') as directory:
        server: RealRedis | StoreProcess
        if against == 'redis':
            server = RealRedis(port=PORT)
        else:
            server = StoreProcess(Path(directory, 'store'), port=PORT)
        with server:
            pytest = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL)
            try:
                return _status(pytest, report)
            finally:
                _end_what_is_left()


def _status(pytest: subprocess.Popen[bytes], report: Path) -> int:
    """Wait for pytest and return its exit status.

    After a failed test, pytest may wait at its exit for a worker that the test left behind. If it does so although its
    report is written, it is killed.
    """
    while not report.exists():
        try:
            return pytest.wait(1)
        except subprocess.TimeoutExpired:
            continue
    try:
        return pytest.wait(20)
    except subprocess.TimeoutExpired:
        pytest.kill()
        return pytest.wait()


def _adopt_orphans() -> None:
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_what_is_left() -> None:
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass


def main() -> int:
    """Run from the command line; return pytest's exit status."""
    parser = suite_process.parser('python -m compat_tests.rq_suite', "Run RQ's own test suite.")
    parser.add_argument('--slow', action='store_true', help="run RQ's slow tests, too")
    options = parser.parse_args()
    if options.inside is not None:
        return _inside(options.inside, options.against, options.report, options.arguments)
    try:
        outcome = run(options.against, options.arguments, {'RUN_SLOW_TESTS_TOO': '1'} if options.slow else None)
    except SuiteUnavailableError as error:
        print(error, file=sys.stderr)
        return 2
    print(outcome.output)
    return outcome.status


if __name__ == '__main__':
    raise SystemExit(main())
