"""rq-leveldb run and url: for programs that only know the URL of a Redis server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from types import FrameType

import click

from rq_leveldb.cli import options, render
from rq_leveldb.location import URL_VARIABLES, is_redis_url, parse

__all__ = ['run', 'url']

# What a program without a store reads: RQ's commands and tools one, and web frameworks and their hosts the other.
_VARIABLES = ('RQ_REDIS_URL', 'REDIS_URL')
# What env(1) and shells exit with when a program cannot be run.
_NOT_EXECUTABLE = 126
_NOT_FOUND = 127
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@click.command()
@options.url
@click.option('--socket', is_flag=True, help='Print only the path of the socket.')
@options.json_output
def url(url: str | None, socket: bool, as_json: bool) -> None:
    r"""Print a URL of the store for programs that only know Redis, and start the store if it is not running.

    \b
        redis-cli -s "$(rq-leveldb url --socket)"
        rq info --url "$(rq-leveldb url)"

    This command ends, and the store exits after 60 seconds without a client (idle=SECONDS in the URL sets that for a
    store which this command starts; 0 means never). A program that connects only now and then may then find none. To
    keep it running, start the program with `rq-leveldb run`, call rq_leveldb.unix_url() in it, or run a worker. --json
    also prints after how many idle seconds the running store exits.
    """
    if url is not None and is_redis_url(url):
        if socket:
            raise click.UsageError('--socket is for stores, and this is the URL of a Redis server')
        report: dict[str, object] = {'url': url}
    else:
        from rq_leveldb.client.connection import Redis
        from rq_leveldb.client.keeper import socket_url

        location = parse(url)
        address = socket_url(location)
        with Redis.from_url(location.url) as client:
            idle = client.info('server').get('exit_after_idle_seconds')
        report = {'url': address, 'socket': str(location.directory.socket), 'exit_after_idle_seconds': idle}
    click.echo(json.dumps(report, indent=2) if as_json else report['socket' if socket else 'url'])


@click.command(
    context_settings={'allow_interspersed_args': False},
)
@options.url
@click.argument('command', nargs=-1, required=True, type=click.UNPROCESSED)
def run(url: str | None, command: tuple[str, ...]) -> int:
    r"""Run a program that only knows Redis, on the store: RQ_REDIS_URL and REDIS_URL name it.

    \b
        rq-leveldb run rq worker high default
        rq-leveldb run rqscheduler
        rq-leveldb run sh -c 'exec rq-dashboard --redis-url "$REDIS_URL"'

    The store runs for as long as the program does, and is started again when it is killed. RQ_LEVELDB_URL names it too,
    for the parts of the program that use rq_leveldb. With the URL of a real Redis server, the variables are set to it.

    Signals are passed on to the program. The exit code is the program's, or 128 and the number of the signal that ended
    it; 126 and 127 if it cannot be executed or is not found, and 1 if there is no store.
    """
    if url is not None and is_redis_url(url):
        names = dict.fromkeys((*URL_VARIABLES, *_VARIABLES), url)
    else:
        from rq_leveldb.client.keeper import unix_url

        location = parse(url)
        names = {**dict.fromkeys(_VARIABLES, unix_url(location.url)), URL_VARIABLES[0]: location.url}
    return _run(command, {**os.environ, **names})


def _run(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """Run a program to its end, with our signals, and return its exit code."""
    early: list[int] = []
    program: subprocess.Popen[bytes] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        if program is None:
            early.append(number)
        elif number not in (signal.SIGINT, signal.SIGQUIT) or not _is_in_foreground():
            program.send_signal(number)

    for each in _FORWARDED:
        # What nohup(1) has set stays, for the program as well.
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, forward)
    try:
        program = subprocess.Popen(command, env=environment)
    except OSError as error:
        render.complain(f'{command[0]} cannot be run: {error.strerror}')
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    for number in early:
        program.send_signal(number)
    code = program.wait()
    return code if code >= 0 else 128 - code


def _is_in_foreground() -> bool:
    """Return whether the terminal's signals come to this process, and so to the program in the same group as well."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
