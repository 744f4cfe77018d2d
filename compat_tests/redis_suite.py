"""Redis's own test suite, from Redis's sources, file by file against the store or a real Redis.

``python -m compat_tests.redis_suite [--against store|redis] [FILE...]`` from the checkout; a file is named as
``unit/type/string``. Without one all of ``FILES`` run.

The suite is a program in Tcl of Redis's source distribution; it speaks to a server that runs already ("external mode").
The sources are those in the directory that ``REDIS_SOURCES`` names; else the release archive of Redis is downloaded
once, into ``.cache`` in the checkout. Nothing of Redis is built.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from compat_tests import download, failure_list
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess

SETTING = 'REDIS_SOURCES'
RELEASE = '8.0.6'
# As Redis publishes it in its repository redis-hashes.
SHA256 = '6d0a9913887a4972536f9da226f1575859c34d86354129163260a5f9c6bd4229'
ADDRESS = f'https://download.redis.io/releases/redis-{RELEASE}.tar.gz'
TIME_LIMIT = 300

# What a server that runs already can be asked. unit/type/list-3 passes, too, and takes half a minute, on Redis as well.
FILES = (
    'unit/expire',
    'unit/info-command',
    'unit/introspection-2',
    'unit/introspection',
    'unit/keyspace',
    'unit/multi',
    'unit/other',
    'unit/protocol',
    'unit/pubsub',
    'unit/quit',
    'unit/scan',
    'unit/scripting',
    'unit/slowlog',
    'unit/sort',
    'unit/type/hash',
    'unit/type/incr',
    'unit/type/list',
    'unit/type/set',
    'unit/type/stream-cgroups',
    'unit/type/stream',
    'unit/type/string',
    'unit/type/zset',
)
# What a server that is not started by the suite may lack, in the suite's own words; and what takes long.
DENIED_TAGS = ('slow', 'large-memory', 'needs:debug', 'needs:pfdebug', 'needs:repl', 'needs:save', 'needs:latency')

# They pass, and take as long as a whole file.
LONG_TESTS = ('Verify Lua performs GC correctly after script loading',)


class SuiteUnavailableError(RuntimeError):
    """Redis's test suite cannot be had or cannot be run here."""


@dataclass(frozen=True)
class Outcome:
    """What a file of the suite came to.

    Attributes:
        passed: names of tests.
        failed: what the suite says of each test that failed, by name.
        output: all that the suite printed.
    """

    passed: frozenset[str]
    failed: dict[str, str]
    output: str

    @property
    def is_complete(self) -> bool:
        """Whether the suite came to the end of the file."""
        return re.search(r'^\[\d+/\d+ done\]: ', self.output, re.MULTILINE) is not None


def sources() -> Path:
    """Return the release archive, or the directory, that holds Redis's sources.

    Raises:
        SuiteUnavailableError: if there are none; says how to have them.
    """
    given = os.environ.get(SETTING)
    if given:
        if not Path(given, 'tests', 'test_helper.tcl').exists():
            raise SuiteUnavailableError(f"{SETTING}={given} is no directory of Redis's sources: it has no tests")
        return Path(given)
    try:
        return download.archive(ADDRESS, SHA256)
    except download.UnavailableError as error:
        raise SuiteUnavailableError(
            f"Redis's own tests are in its sources. {error} Or set {SETTING} to a directory with the sources of Redis "
            f'{RELEASE}.'
        ) from None


def lay_out(target: Path) -> None:
    """Put the suite into the directory ``target``.

    Raises:
        SuiteUnavailableError: if it cannot be had, or there is no tclsh to run it.
    """
    if shutil.which('tclsh') is None:
        raise SuiteUnavailableError("Redis's own tests need tclsh: install Tcl 8.5 or newer")
    found = sources()
    if found.is_dir():
        shutil.copytree(found / 'tests', target / 'tests', symlinks=True)
    else:
        with tarfile.open(found) as archive:
            inside = f'redis-{RELEASE}/tests/'
            for member in archive:
                if member.isfile() and member.name.startswith(inside) and '..' not in member.name:
                    member.name = member.name.removeprefix(f'redis-{RELEASE}/')
                    archive.extract(member, target)
    # The store has no functions. The suite removes those of a server before each group of tests, and it runs its
    # scripts twice, under the same names: as a function and by EVAL.
    _replace(target / 'tests/support/server.tcl', '    r function flush\n', '    catch {r function flush}\n')
    _replace(target / 'tests/unit/scripting.tcl', 'foreach is_eval {0 1}', 'foreach is_eval {1}')


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise SuiteUnavailableError(f'the suite is not that of Redis {RELEASE}: {path.name} has no {old.strip()!r}')
    path.write_text(text.replace(old, new))


def known_failures() -> dict[str, dict[str, str]]:
    """Return by file, by test, why it fails on the store: what ``redis_suite_failures.txt`` says."""
    found: dict[str, dict[str, str]] = {}
    for line, reason in failure_list.read('redis_suite_failures.txt').items():
        file, _, name = line.partition(': ')
        found.setdefault(file, {})[name] = reason
    return found


def run(suite: Path, file: str, against: str, skipped: Iterable[str] = (), only: Iterable[str] = ()) -> Outcome:
    """Run a file of the suite against a server of its own.

    Args:
        suite: where it was laid out.
        file: for example ``unit/type/string``.
        against: ``store`` or ``redis``.
        skipped: names of tests that are left out. One that fails may leave the suite's connection in a state, such as
            an open transaction, in which those behind it fail, too.
        only: names of the tests that run, instead of all.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix='redis-suite-') as directory:
        server: RealRedis | StoreProcess
        server = RealRedis(port=port) if against == 'redis' else StoreProcess(Path(directory, 'store'), port=port)
        with server:
            return _run(suite, file, port, [*_each('--skiptest', (*LONG_TESTS, *skipped)), *_each('--only', only)])


def _each(option: str, names: Iterable[str]) -> list[str]:
    return [word for name in names for word in (option, name)]


def _run(suite: Path, file: str, port: int, more: list[str]) -> Outcome:
    # `--durable` has a test that met an unexpected error fail alone; without it the file would end there.
    command = ['tclsh', 'tests/test_helper.tcl', '--host', '127.0.0.1', '--port', str(port), '--durable']
    command += ['--dont-pre-clean', '--single', file, '--tags', ' '.join(f'-{tag}' for tag in DENIED_TAGS)]
    command += more
    environment = {**os.environ, 'TERM': 'dumb', 'LC_ALL': 'C.UTF-8'}
    process = subprocess.Popen(
        command,
        cwd=suite,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        # The suite's second process keeps the pipe open: both are ended.
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        output += f'\n[err]: no end after {TIME_LIMIT} seconds in tests/{file}.tcl\n'.encode()
    return _read(output.decode(errors='replace'))


def _read(output: str) -> Outcome:
    passed = set(re.findall(r'^\[ok\]: (.*) \(\d+ ms\)$', output, re.MULTILINE))
    failed: dict[str, str] = {}
    for part in re.split(r'^(?=\[[^]\n]+\]: )', output.partition('                   The End')[0], flags=re.MULTILINE):
        fault = re.match(r'\[(?:err|exception)\]: (.*?)(?: in tests/\S+)?$', part, re.MULTILINE)
        if fault is not None:
            failed[fault[1]] = part.strip()
    return Outcome(frozenset(passed - failed.keys()), failed, output)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Run from the command line; return 0 if nothing failed."""
    parser = argparse.ArgumentParser(
        prog='python -m compat_tests.redis_suite', description="Run Redis's own test suite."
    )
    parser.add_argument('--against', choices=['store', 'redis'], default='store')
    parser.add_argument('--all', action='store_true', help='run also what is known to fail on the store')
    parser.add_argument('--verbose', action='store_true', help='print all that the suite prints')
    parser.add_argument('files', nargs='*', metavar='FILE', help='for example unit/type/string')
    options = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory(prefix='redis-suite-') as directory:
        try:
            lay_out(Path(directory))
        except SuiteUnavailableError as error:
            print(error, file=sys.stderr)
            return 2
        left_out = {} if options.all or options.against == 'redis' else known_failures()
        for file in options.files or FILES:
            began = time.monotonic()
            outcome = run(Path(directory), file, options.against, left_out.get(file, ()))
            ended = '' if outcome.is_complete else ', and did not come to its end'
            counts = f'{len(outcome.passed)} passed, {len(outcome.failed)} failed{ended}'
            print(f'{file}: {counts} ({time.monotonic() - began:.1f} s)', flush=True)
            if options.verbose:
                print(outcome.output)
            else:
                for said in outcome.failed.values():
                    print('   ', said.replace('\n', '\n    '))
            status |= bool(outcome.failed) or not outcome.is_complete
    return status


if __name__ == '__main__':
    raise SystemExit(main())
