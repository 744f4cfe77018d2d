"""rq-leveldb: the table of commands, and how errors are shown to the user."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from rq_leveldb.cli import render
from rq_leveldb.errors import BadAddress, StoreError
from rq_leveldb.version import __version__

__all__ = ['COMMANDS', 'main']

# Name of a command -> 'module:attribute'; in the order in which --help shows them.
COMMANDS: Mapping[str, str] = {
    'worker': 'rq_leveldb.cli.worker:worker',
    'children': 'rq_leveldb.cli.children:children',
    'jobs': 'rq_leveldb.cli.jobs:jobs',
    'job': 'rq_leveldb.cli.job:job',
    'logs': 'rq_leveldb.cli.job:logs',
    'worker-pool': 'rq_leveldb.cli.rq_commands:worker_pool',
    'enqueue': 'rq_leveldb.cli.rq_commands:enqueue',
    'info': 'rq_leveldb.cli.rq_commands:info',
    'status': 'rq_leveldb.cli.status:status',
    'top': 'rq_leveldb.cli.top:top',
    'doctor': 'rq_leveldb.cli.doctor:doctor',
    'check': 'rq_leveldb.cli.check:check',
    'migrate': 'rq_leveldb.cli.migrate:migrate',
    'dump': 'rq_leveldb.cli.dump:dump',
    'restore': 'rq_leveldb.cli.restore:restore',
    'compact': 'rq_leveldb.cli.compact:compact',
    'retry': 'rq_leveldb.cli.job_actions:retry',
    'requeue': 'rq_leveldb.cli.rq_commands:requeue',
    'cancel': 'rq_leveldb.cli.job_actions:cancel',
    'delete': 'rq_leveldb.cli.job_actions:delete',
    'empty': 'rq_leveldb.cli.rq_commands:empty',
    'suspend': 'rq_leveldb.cli.rq_commands:suspend',
    'resume': 'rq_leveldb.cli.rq_commands:resume',
    'cron': 'rq_leveldb.cli.rq_commands:cron',
    'run': 'rq_leveldb.cli.programs:run',
    'url': 'rq_leveldb.cli.programs:url',
    'http': 'rq_leveldb.cli.http:http',
    'token': 'rq_leveldb.cli.token:token',
    'store': 'rq_leveldb.cli.store:store',
    'stop': 'rq_leveldb.cli.store:stop',
}

_EPILOG = """\b
Where the data is: --url, else RQ_LEVELDB_URL, else RQ_REDIS_URL, else
leveldb:// (a directory under ~/.local/state). leveldb:///dir is a store on
this machine, which starts by itself; redis://, rediss:// and unix:// are a
real Redis server.

\b
Exit codes: 0 done; 1 failed, and the message says what to do; 2 the command
was not understood; 130 interrupted.
"""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(':')
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Group, epilog=_EPILOG, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(__version__, prog_name='rq-leveldb')
def _group() -> None:
    """RQ without Redis: background jobs on one machine, stored in LevelDB."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what follows the program's name; those of the process if None.

    Returns:
        The exit code, as --help lists them.
    """
    # https://no-color.org; None: as the output is a terminal or not. rich goes by the same variable.
    color = False if os.environ.get('NO_COLOR') else None
    with click.Context(_group, color=color).scope():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        result = _group.main(
            args=arguments,
            prog_name='rq-leveldb',
            standalone_mode=False,
            parent=click.get_current_context(),
        )
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BadAddress as error:
        render.fail(error)
        return 2
    except StoreError as error:
        render.fail(error)
        return 1
    except BrokenPipeError:
        # The reader of our output has closed it.
        _drop_output()
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _drop_output()
        render.complain(f'there is no space left for the output: {error.strerror}')
        return 1
    except UnicodeEncodeError as error:
        render.complain(f'{error.object!r} is not UTF-8, but names and texts in the store must be')
        return 2
    except Exception as error:
        if 'redis.exceptions' not in sys.modules:
            # Only commands that need redis-py import it.
            raise
        from redis.exceptions import ResponseError

        from rq_leveldb.client.explanation import explain

        explanation = explain(error)
        if explanation is not None:
            render.complain(*explanation)
        elif isinstance(error, ResponseError):
            render.complain(f'the store refused a command: {error}', 'rq-leveldb status names what cannot be read.')
        else:
            raise
        return 1


def _drop_output() -> None:
    """Let nothing of the output be written any more: Python would raise again when it flushes at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
