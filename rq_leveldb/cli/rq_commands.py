"""RQ's own commands, with the store as the default place.

They are RQ's click commands: its arguments, options and output, and its callbacks except for those in `guarded`. Only
options whose defaults differ are copied. A check comes first, so that a mistake in the URL gets a clear error.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import click
from rq.cli.cli import main as rq_group
from rq.cli.cli_cron import cron as rq_cron
from rq.cli.workers import worker_pool as rq_worker_pool

from rq_leveldb.cli import checks, enqueueing, guarded, http_client, place, suspension
from rq_leveldb.client import autostart
from rq_leveldb.location import URL_VARIABLES, is_redis_url, parse
from rq_leveldb.worker import cron_file

__all__ = ['cron', 'empty', 'enqueue', 'info', 'requeue', 'resume', 'suspend', 'url_option', 'worker_pool']

_URL_HELP = 'leveldb:///dir of a store, or redis://, rediss://, unix:// of a server; enqueue also http://.  [default: leveldb://]'


def url_option() -> click.Option:
    """Return the --url option, for any command."""
    return click.Option(['--url', '-u'], envvar=list(URL_VARIABLES), help=_URL_HELP)


class _Command(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        url = ctx.params.get('url')
        place.extend_path(ctx.params.get('path') or ())
        checks.check(self, ctx.params)
        if http_client.is_http_url(url):
            if self.name != 'enqueue':
                raise click.BadParameter('only enqueue works over HTTP', param_hint='--url')
            with enqueueing.reading_arguments():
                return http_client.enqueue(ctx.params)
        url = place.resolve(url, place.read_settings(ctx.params.get('config')))
        if url is not None:
            ctx.params['url'] = url
            if self.name in ('worker-pool', 'cron'):
                # Also for the jobs that it runs and the application's modules that it imports.
                place.adopt(url)
        if url is not None and not is_redis_url(url):
            # Before RQ's code runs, because that would show a traceback.
            autostart.connect(parse(url)).close()
        if self.name == 'cron':
            # In a process of its own first: RQ's command would show a traceback of a file that is not there.
            cron_file.load(ctx.params['config_path'], log_level='CRITICAL')
        return super().invoke(ctx)


def _adopt(
    original: click.Command,
    *options: click.Option,
    callback: Callable[..., Any] | None = None,
    help_text: str | None = None,
    epilog: str | None = None,
    **defaults: Any,
) -> click.Command:
    """Return RQ's command with other defaults.

    Args:
        original: RQ's command.
        options: options that replace RQ's options of the same name, or come after them.
        callback: what runs the command instead of RQ's own.
        help_text: what it does, instead of RQ's sentence.
        epilog: what --help ends with.
        defaults: option's name to default.
    """
    by_name: dict[str | None, click.Parameter] = {option.name: option for option in (*options, url_option())}
    parameters = []
    for parameter in original.params:
        chosen = by_name.pop(parameter.name, None)
        if chosen is None and parameter.name in defaults:
            chosen = copy.copy(parameter)
            chosen.default = defaults[parameter.name]
        parameters.append(chosen or parameter)
    return _Command(
        original.name,
        callback=callback or original.callback,
        params=[*parameters, *by_name.values()],
        help=help_text or original.help,
        epilog=epilog or original.epilog,
    )


_CONNECTION = 'rq_leveldb.Redis'
_JSON = click.Option(['--json', 'as_json'], is_flag=True, help='Print one JSON object, for programs.')
_REQUEUE_EPILOG = """\b
Examples:
  rq-leveldb requeue ID
  rq-leveldb requeue --queue mail --all
  rq-leveldb requeue --function app.tasks.send
"""
_commands = rq_group.commands

enqueue = _adopt(
    _commands['enqueue'],
    _JSON,
    callback=enqueueing.enqueue,
    help_text=enqueueing.enqueue.__doc__,
    epilog=enqueueing.EPILOG,
    connection_class=_CONNECTION,
)
info = _adopt(_commands['info'], callback=guarded.info, connection_class=_CONNECTION, worker_class='rq_leveldb.Worker')
requeue = _adopt(
    _commands['requeue'],
    click.Option(['--queue', '-q'], help='Only jobs of this queue.'),
    click.Option(['--function'], help='All failed jobs that call this function, such as app.tasks.send.'),
    _JSON,
    callback=guarded.requeue,
    help_text=guarded.requeue.__doc__,
    epilog=_REQUEUE_EPILOG,
    connection_class=_CONNECTION,
)
empty = _adopt(_commands['empty'], _JSON, callback=guarded.empty, connection_class=_CONNECTION)
suspend = _adopt(
    _commands['suspend'],
    click.Option(['--duration'], type=click.IntRange(1), help='For how many seconds.  [default: until resume]'),
    _JSON,
    callback=suspension.suspend,
    connection_class=_CONNECTION,
)
resume = _adopt(_commands['resume'], _JSON, callback=suspension.resume, connection_class=_CONNECTION)
cron = _adopt(rq_cron, connection_class=_CONNECTION)
# RQ's own worker, which runs one job at a time; `worker` runs several.
worker_pool = _adopt(rq_worker_pool, connection_class=_CONNECTION)
