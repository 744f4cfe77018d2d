"""Where a tool runs: on a store or on a real server, with the environment that `rq-leveldb run` gives to programs."""

from __future__ import annotations

import http.cookiejar
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from compat_tests.download import CHECKOUT
from tests.until import until

REQUIRED = 'RQ_LEVELDB_TEST_TOOLS'

needs_flask_rq = pytest.mark.skipif(sys.version_info < (3, 11), reason='Flask-RQ needs Python 3.11')


def need(*modules: str) -> None:
    """Skip the calling test if a module is not installed; fail where the tools are required."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            missing(f'{module} is not installed: it comes with the extra `tools`')


def missing(reason: str) -> None:
    """Skip the calling test, or its module, because a tool is missing; fail where the tools are required."""
    if os.environ.get(REQUIRED) == 'required':
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at."""
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return int(probe.getsockname()[1])


class Program:
    """A program that runs in the background.

    Args:
        process: its process.
        log: the file with its output.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def output(self) -> str:
        """Return what it has printed."""
        return self._log.read_text()

    def until(self, condition: Callable[..., Any]) -> Any:
        """Return the first true value; an error if the program ends before."""

        def look() -> Any:
            assert self._process.poll() is None, self.output()
            return condition()

        return until(look, 60)


class Place:
    """A store or a server, the programs that run on it, and redis-py's own client of it.

    Args:
        url: of the store or server.
        logs: the directory for what programs print.
    """

    def __init__(self, url: str, logs: Path) -> None:
        self.url = url
        self._logs = logs
        # One for all programs, since each costs the start of a Python. It ends with its input.
        runner = [sys.executable, '-m', 'rq_leveldb', 'run', '--url', url, 'sh', '-c', 'echo "$REDIS_URL"; cat']
        self._runner = subprocess.Popen(runner, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._runner.stdout is not None
        path = os.pathsep.join([sysconfig.get_path('scripts'), os.environ['PATH']])
        self.address = self._runner.stdout.readline().strip()
        named = {'RQ_LEVELDB_URL': url, 'RQ_REDIS_URL': self.address, 'REDIS_URL': self.address}
        self._environment = {**os.environ, **named, 'PATH': path, 'PYTHONPATH': str(CHECKOUT)}
        self.client: Any = redis.Redis.from_url(self.address)

    def close(self) -> None:
        """Keep the store no longer."""
        self.client.close()
        self._runner.communicate(timeout=30)

    def kill_store(self) -> None:
        """Kill the store with -9, and wait until another one answers."""
        pid = self.client.info('server')['process_id']
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.client.info('server')['process_id'] != pid)

    def run(self, *command: str, cwd: Path = CHECKOUT, code: int = 0, **further: str) -> Any:
        """Run a program to its end and return it, with its output and errors in `stdout`.

        Args:
            command: the program and its arguments.
            cwd: its working directory.
            code: the exit code that it must have.
            further: environment variables.
        """
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**self._environment, **further},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done

    @contextmanager
    def running(self, *command: str, cwd: Path = CHECKOUT, name: str = '', **further: str) -> Iterator[Program]:
        """Run a program in the background, and end it afterwards.

        Args:
            command: the program and its arguments.
            cwd: its working directory.
            name: of the file with its output; the program's if empty.
            further: environment variables.
        """
        log = self._logs / f'{name or command[0]}.log'
        with log.open('ab') as output:
            program = subprocess.Popen(
                command,
                cwd=cwd,
                env={**self._environment, **further},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Program(program, log)
        finally:
            program.send_signal(signal.SIGTERM)
            try:
                program.wait(20)
            finally:
                # Whatever the program has left.
                with suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGKILL)


class Site:
    """A web site: pages by their paths.

    Args:
        port: where it listens.
        program: what serves it; waited for.
    """

    def __init__(self, port: int, program: Program) -> None:
        self.address = f'http://127.0.0.1:{port}'
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        program.until(self._listens)

    def get(self, path: str) -> str:
        """Return the page at a path, which must be there."""
        return self.post(path, None)

    def post(self, path: str, body: bytes | None) -> str:
        """Return the page that comes after a form was sent."""
        request = urllib.request.Request(self.address + path, data=body, headers={'Referer': self.address + path})
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        """Return what the JSON at a path says."""
        return json.loads(self.get(path))

    def cookie(self, name: str) -> str:
        """Return the value of a cookie."""
        return next(str(cookie.value) for cookie in self._cookies if cookie.name == name)

    def _listens(self) -> bool:
        try:
            self.get('/')
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True
