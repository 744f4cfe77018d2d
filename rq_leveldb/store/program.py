"""The store as a program: arguments, logging, telling the parent when it is ready, startup and shutdown."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import gc
import logging
import logging.handlers
import os
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from rq_leveldb import errors, location, systemd
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.descriptors import raise_limit
from rq_leveldb.store.engine import ReadFailed, words
from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.opening import open_database
from rq_leveldb.store.refusals import LOST
from rq_leveldb.store.server import Server
from rq_leveldb.version import __version__

logger = logging.getLogger(__name__)

GARBAGE_THRESHOLD = 10_000
"""Allocated objects before Python looks for reference cycles. The store creates hardly any cycles, while each
collection traverses a command's many arguments: 700, the default, makes such commands a third slower."""


def parser() -> argparse.ArgumentParser:
    """Return the options of ``rq-leveldb store``."""
    made = argparse.ArgumentParser(
        prog='rq-leveldb store',
        description='Run the store in the foreground, for a supervisor such as systemd. Clients start one by '
        'themselves where none runs, so most people never need this command.',
        epilog='SIGTERM or SIGINT stops it after what has arrived is answered. Exit codes: 0 stopped, 1 it could not '
        'start (the message says why), 2 wrong usage, 3 another store is already running on the directory.',
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument(
        '--url',
        help='leveldb:///directory?fsync=always (default: RQ_LEVELDB_URL, RQ_REDIS_URL, else the state directory)',
    )
    where.add_argument('--dir', help='the data directory, instead of --url')
    made.add_argument('--fsync', choices=location.FSYNC_POLICIES, help='everysec (default) or always')
    made.add_argument(
        '--idle',
        type=_seconds,
        default=0.0,
        metavar='SECONDS',
        help="exit after so long without a client; a URL's idle= is for the stores that clients start",
    )
    made.add_argument('--port', type=_port, default=0, help='listen on this TCP port of the loopback interface as well')
    made.add_argument('--detached', action='store_true', help=argparse.SUPPRESS)
    made.add_argument('--ready-fd', type=int, default=-1, help=argparse.SUPPRESS)
    return made


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if location.is_duration(float(text)):
            return float(text)
    raise argparse.ArgumentTypeError(f'{text} is not a number of seconds, 0 for never')


def _port(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 0 <= int(text) <= 65535:
            return int(text)
    raise argparse.ArgumentTypeError(f'{text} is not a port, 1 to 65535')


def main(argv: list[str]) -> int:
    """Run a store.

    Args:
        argv: the command line after ``store``.

    Returns:
        The exit code.
    """
    options = parser().parse_args(argv)
    ready = _Ready(options.ready_fd)
    try:
        place = _place(options)
        directory = place.directory
        raise_limit()
        directory.create()
        claim = Claim(directory)
    except errors.StoreInUse as error:
        if options.detached:
            ready.tell('busy')
            return 0
        print(f'rq-leveldb store: {error}', file=sys.stderr)
        return 3
    except errors.StoreError as error:
        return ready.fail(error)
    except OSError as error:
        return ready.fail(
            errors.StoreError(str(error.filename or ''), title=f'The store cannot start ({error.strerror})')
        )
    _log_to(directory, foreground=not options.detached)
    settings = StoreSettings(
        directory, options.fsync or place.fsync or location.DEFAULT_FSYNC, options.idle, options.port
    )
    try:
        loop = uvloop.new_event_loop()
        return loop.run_until_complete(_serve(settings, claim, ready))
    except errors.StoreError as error:
        logger.error('%s', error)
        return ready.fail(error)
    except ReadFailed as fault:
        damaged = errors.CorruptDatabase(str(directory.database), title=f'The database is damaged ({words(fault)})')
        logger.error('%s', damaged)
        return ready.fail(damaged)
    finally:
        claim.close()


class _Ready:
    """The report to the process that started the store on how that went."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, line: str) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # the starter may be gone
                os.write(self._descriptor, line.encode() + b'\n')
                os.close(self._descriptor)
            self._descriptor = -1

    def fail(self, error: errors.StoreError) -> int:
        if self._descriptor >= 0:
            self.tell(f'error {error.to_json()}')
        else:
            print(f'rq-leveldb store: {error}', file=sys.stderr)
        return 2 if isinstance(error, errors.BadAddress) else 1


async def _serve(settings: StoreSettings, claim: Claim, ready: _Ready) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_say_clearly)
    engine = open_database(settings.directory)
    server = Server(settings, engine, claim, loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.shutdown)
    await server.listen()
    if settings.port:
        await server.listen_on_port(settings.port)
    server.start_timers()
    logger.info('store %s ready, pid %d, fsync %s', __version__, os.getpid(), settings.fsync)
    ready.tell('ready')
    systemd.notify('READY=1')
    gc.freeze()  # what was loaded stays
    gc.set_threshold(GARBAGE_THRESHOLD)
    await server.stopped
    systemd.notify('STOPPING=1')
    # The name goes first: a client that comes now starts another store, which waits for the lock.
    claim.give_name_back()
    server.stop_listening()
    await server.finish()
    if server.refusals.lost:
        raise errors.StoreError(
            str(settings.directory.path),
            title=f'{LOST} ({server.refusals.lost})',
            advice='The next command starts a store in the directory that is there now. Stop the store before you move '
            'its directory.',
        )
    logger.info('store stopped')
    return 0


def _say_clearly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if isinstance(context.get('exception'), MemoryError):
        # The place of the failure says nothing, and the loop disconnects the client concerned.
        logger.error('out of memory: %s', context['message'])
    else:
        loop.default_exception_handler(context)


def _place(options: argparse.Namespace) -> location.Location:
    if options.dir is not None:
        if not options.dir or '\0' in options.dir:
            raise errors.BadAddress(repr(options.dir), title='This is no directory', advice='Name another with --dir.')
        if '://' in options.dir:
            raise errors.BadAddress(options.dir, title='This is a URL, not a directory', advice='Say --url for a URL.')
        return location.Location(location.DataDirectory(Path(options.dir).absolute()))
    url = options.url if options.url is not None else location.configured_url()
    return location.parse_store(url)


def _log_to(directory: location.DataDirectory, foreground: bool) -> None:
    # If the log cannot be written, as on a full disk, logging would try to write a traceback about it.
    logging.raiseExceptions = False
    handler: logging.Handler
    if foreground:
        handler = logging.StreamHandler()
    else:
        handler = logging.handlers.RotatingFileHandler(directory.log, maxBytes=1 << 20, backupCount=3)
        # Messages of a dying interpreter belong there as well.
        with open(directory.log, 'ab') as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        # A file truncated while LevelDB has it mapped kills the process without a message.
        faulthandler.enable()
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
