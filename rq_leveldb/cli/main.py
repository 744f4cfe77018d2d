"""rq-leveldb: the table of commands, and how errors are shown to the user."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

import click

from rq_leveldb.cli import render
from rq_leveldb.errors import BadAddress, StoreError
from rq_leveldb.version import __version__

__all__ = ['COMMANDS', 'main']


class _Entry(NamedTuple):
    """A command: where it is, and what --help says of it without importing it."""

    target: str
    summary: str


_SECTIONS: Mapping[str, Mapping[str, _Entry]] = {
    'Running jobs': {
        'worker': _Entry('rq_leveldb.cli.worker:worker', 'Runs jobs, several at once, each in its own process.'),
        'children': _Entry('rq_leveldb.cli.children:children', 'Changes how many jobs a worker runs at once.'),
        'worker-pool': _Entry('rq_leveldb.cli.rq_commands:worker_pool', "Runs a pool of RQ's own workers."),
        'cron': _Entry('rq_leveldb.cli.rq_commands:cron', "Runs RQ's cron scheduler, without a worker."),
        'cron-jobs': _Entry('rq_leveldb.cli.cron_jobs:cron_jobs', 'Shows when cron entries run; runs or disables one.'),
        'suspend': _Entry('rq_leveldb.cli.rq_commands:suspend', 'Lets all workers take no more jobs.'),
        'resume': _Entry('rq_leveldb.cli.rq_commands:resume', 'Lets them take jobs again.'),
        'pause': _Entry('rq_leveldb.cli.pausing:pause', 'Lets workers take nothing from single queues.'),
        'unpause': _Entry('rq_leveldb.cli.pausing:unpause', 'Lets them take jobs from these queues again.'),
    },
    'Enqueueing and changing jobs': {
        'enqueue': _Entry('rq_leveldb.cli.rq_commands:enqueue', 'Enqueues a job.'),
        'retry': _Entry(
            'rq_leveldb.cli.job_actions:retry', 'Puts a job that failed, was stopped or was canceled back on its queue.'
        ),
        'requeue': _Entry(
            'rq_leveldb.cli.rq_commands:requeue', 'Puts failed jobs back on their queues, by id, queue or function.'
        ),
        'cancel': _Entry(
            'rq_leveldb.cli.job_actions:cancel', 'Cancels jobs that have not started; --stop also those that run.'
        ),
        'delete': _Entry('rq_leveldb.cli.job_actions:delete', 'Deletes jobs by id, or all of a state.'),
        'empty': _Entry('rq_leveldb.cli.rq_commands:empty', 'Deletes all jobs that wait in queues.'),
    },
    'Looking': {
        'status': _Entry(
            'rq_leveldb.cli.status:status', 'Shows where the data is, who serves it, and how many jobs there are.'
        ),
        'jobs': _Entry(
            'rq_leveldb.cli.jobs:jobs', 'Lists jobs by state, queue, function or text; --group shows what fails.'
        ),
        'job': _Entry(
            'rq_leveldb.cli.job:job', 'Shows one job: its state, result, arguments, traceback, and why it waits.'
        ),
        'logs': _Entry('rq_leveldb.cli.job:logs', 'Shows what a job printed; -f until it ends.'),
        'top': _Entry('rq_leveldb.cli.top:top', 'Shows queues, workers and running jobs, as they change.'),
        'info': _Entry('rq_leveldb.cli.rq_commands:info', "RQ's own overview of queues and workers."),
        'doctor': _Entry('rq_leveldb.cli.doctor:doctor', 'Says what is wrong with a place, and how to mend it.'),
    },
    'The data': {
        'check': _Entry(
            'rq_leveldb.cli.check:check', 'Checks the database for damage, --jobs the jobs in it; --fix repairs.'
        ),
        'dump': _Entry('rq_leveldb.cli.dump:dump', 'Writes all jobs and queues into a file, while work goes on.'),
        'restore': _Entry('rq_leveldb.cli.restore:restore', 'Brings the jobs and queues of a dump into a place.'),
        'migrate': _Entry(
            'rq_leveldb.cli.migrate:migrate', 'Carries all jobs and queues to another place, such as Redis.'
        ),
        'compact': _Entry('rq_leveldb.cli.compact:compact', 'Gives back the disk space of what was removed, now.'),
    },
    'The store and other programs': {
        'run': _Entry('rq_leveldb.cli.programs:run', "Runs a program with the store's URL in its environment."),
        'url': _Entry('rq_leveldb.cli.programs:url', "Prints the store's URL for programs that only know Redis."),
        'http': _Entry('rq_leveldb.cli.http:http', 'Runs only the HTTP front.'),
        'token': _Entry('rq_leveldb.cli.token:token', 'Prints the token of the HTTP front.'),
        'store': _Entry('rq_leveldb.cli.store:store', 'Runs the store in the foreground, for a supervisor.'),
        'stop': _Entry('rq_leveldb.cli.store:stop', 'Stops the store; the next command starts it again.'),
    },
}
COMMANDS: Mapping[str, _Entry] = {name: entry for section in _SECTIONS.values() for name, entry in section.items()}

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
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(':')
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in commands.items()])


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
