"""rq-leveldb worker: RQ's options, plus those of the worker that forks a process for each job."""

from __future__ import annotations

import copy
import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rq.cli.helpers import CliConfig, setup_loghandlers_from_args
from rq.cli.workers import worker as rq_worker
from rq.suspension import is_suspended
from rq.utils import import_attribute
from rq.worker import DequeueStrategy

from rq_leveldb.cli import checks, place
from rq_leveldb.client import autostart
from rq_leveldb.failed_import import describe
from rq_leveldb.location import URL_VARIABLES, is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.worker import Keep, Service, Settings

__all__ = ['worker']

_DEFAULT_OUTPUT = 64 * 1024


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    from rq_leveldb.worker.limits import parse_size

    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _keep(state: str, what: str) -> click.Option:
    def read(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Keep]:
        from rq_leveldb.worker import Keep

        try:
            return [Keep.parse(value) for value in values]
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return click.Option(
        [f'--keep-{state}'],
        callback=read,
        multiple=True,
        metavar='[QUEUE:]NUMBER|TIME',
        envvar=f'RQ_LEVELDB_KEEP_{state.upper()}',
        help=what,
    )


def _hook(name: str, what: str) -> click.Option:
    def check(context: click.Context, parameter: click.Parameter, functions: tuple[str, ...]) -> tuple[str, ...]:
        for function in functions:
            if '.' not in function:
                raise click.BadParameter(
                    f'{function!r} is not the dotted name of a function, such as app.database.close'
                )
        return functions

    return click.Option([name], callback=check, metavar='FUNCTION', multiple=True, help=what)


_OURS: list[click.Parameter] = [
    click.Option(
        ['--max-children', '-m'],
        type=click.IntRange(min=0),
        envvar='RQ_LEVELDB_MAX_CHILDREN',
        help='How many jobs run at once, each in its own process.  [default: number of usable cores]',
    ),
    click.Option(
        ['--grace'],
        type=click.FloatRange(min=0),
        metavar='SECONDS',
        help='How long running jobs may take after the first stop signal.  [default: no limit]',
    ),
    click.Option(
        ['--requeue-abandoned'],
        is_flag=True,
        help='Put jobs whose process died back into their queue; otherwise they use up a retry, or fail.',
    ),
    click.Option(
        ['--max-crashes'],
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        help='How many times in a row a job may crash its process before it fails as poisonous.',
    ),
    click.Option(['--job-memory'], callback=_size, metavar='SIZE', help='Memory limit of a job, such as 512M.'),
    click.Option(
        ['--jobs-per-child'],
        type=click.IntRange(min=1),
        envvar='RQ_LEVELDB_JOBS_PER_CHILD',
        metavar='N',
        help='How many jobs a process may run, one after the other, before it is replaced. More than one is for jobs '
        'of milliseconds: the documentation says what they then share.  [default: 1]',
    ),
    click.Option(
        ['--child-memory'],
        callback=_size,
        metavar='SIZE',
        help='With --jobs-per-child: replace a process that holds more memory than this after a job.',
    ),
    click.Option(
        ['--capture-output'],
        callback=_size,
        metavar='SIZE',
        is_flag=False,
        flag_value=str(_DEFAULT_OUTPUT),
        help="Keep the last SIZE bytes of a job's output with it, 64K by default.",
    ),
    _keep(
        'finished',
        'Keep at most so many finished jobs of each queue, for so long, or of about such a size: 10000, 30d, 500MB; '
        "default:1000 for the queue named default only. May be repeated.  [default: RQ's lifetimes alone]",
    ),
    _keep('failed', 'The same for failed and stopped jobs.'),
    click.Option(
        ['--import', 'imports'],
        multiple=True,
        metavar='MODULE',
        help='Import this module before forking, so that jobs do not have to; may be repeated.',
    ),
    click.Option(
        ['--preload'],
        type=click.Choice(['auto', 'off']),
        default='off',
        show_default=True,
        help='auto: import the modules of jobs before forking, as they become known. Imports have side effects.',
    ),
    click.Option(
        ['--reload'],
        is_flag=True,
        help='Load the imported modules again when their files are edited; running jobs end with the old code. For '
        'development; needs rq-leveldb[reload].',
    ),
    _hook('--before-first-fork', 'Call this once, before the first fork.'),
    _hook('--before-fork', 'Call this before each fork.'),
    _hook('--after-fork', "Call this in each job's process, before the job."),
    click.Option(['--cron'], metavar='FILE', help="Also run RQ's cron definitions in this file or module."),
    click.Option(
        ['--status-line/--no-status-line'],
        default=None,
        help='Show progress on one line.  [default: on a terminal]',
    ),
    click.Option(
        ['--http'],
        metavar='ADDRESS',
        envvar='RQ_LEVELDB_HTTP',
        help='Where the HTTP front listens: HOST:PORT, :PORT or unix:PATH.  [default: 127.0.0.1:7753]',
    ),
    click.Option(['--no-http'], is_flag=True, envvar='RQ_LEVELDB_NO_HTTP', help='Start no HTTP front.'),
    click.Option(
        ['--allow'],
        multiple=True,
        metavar='PATTERN',
        help='Also allow these functions over HTTP, not only those with @job in a module given with --import: '
        '* stands for one part of a dotted name, ** for several.',
    ),
]

_REPLACED: dict[str, click.Parameter] = {
    'url': click.Option(
        ['--url', '-u'],
        envvar=list(URL_VARIABLES),
        help='leveldb:///dir of a store, or redis://, rediss://, unix:// of a server.  [default: leveldb://]',
    ),
    'with_scheduler': click.Option(
        ['--with-scheduler/--without-scheduler', '-s'],
        default=True,
        show_default=True,
        help='Run worker with scheduler',
    ),
}
_DEFAULTS = {'connection_class': 'rq_leveldb.Redis', 'worker_class': 'rq_leveldb.Worker'}


def _parameters() -> list[click.Parameter]:
    parameters = []
    for parameter in rq_worker.params:
        name = parameter.name or ''
        if name in _DEFAULTS:
            parameter = copy.copy(parameter)
            parameter.default = _DEFAULTS[name]
        parameters.append(_REPLACED.get(name, parameter))
    return [*parameters, *_OURS]


def _work(**options: Any) -> int:
    place.extend_path(options['path'])
    checks.check(click.get_current_context().command, options)
    settings = place.read_settings(options['config'])
    url = place.resolve(options['url'], settings)
    if url is not None:
        options['url'] = url
        place.adopt(url)
        if not is_redis_url(url):
            # Report what is wrong with the store before anything else is tried.
            autostart.connect(parse(url)).close()
    elif not options['no_http']:
        _warn('With Sentinels there is no HTTP front, and jobs that enqueue others must name their connection.')
        options['no_http'] = True
    from rq_leveldb.worker import Worker
    from rq_leveldb.worker.nursery import ImportFailed

    config = CliConfig(**options)
    _refuse_ours(config.worker_class)
    if settings.get('DICT_CONFIG'):
        import logging.config

        logging.config.dictConfig(settings['DICT_CONFIG'])
    if options['pid']:
        with open(os.path.expanduser(options['pid']), 'w') as file:
            file.write(str(os.getpid()))
    strategy = options['dequeue_strategy']
    if strategy not in [choice.value for choice in DequeueStrategy]:
        raise click.BadParameter('must be default, random or round_robin', param_hint='--dequeue-strategy')
    if options['verbose'] and options['quiet']:
        raise click.UsageError('--verbose and --quiet cannot be used together')
    setup_loghandlers_from_args(options['verbose'], options['quiet'], options['date_format'], options['log_format'])
    if is_suspended(config.connection):
        click.secho('RQ is currently suspended, to resume job execution run "rq resume"', fg='red', err=True)
        return 1
    # Our worker imports them in the process that forks.
    for module in () if issubclass(config.worker_class, Worker) else options['imports']:
        _import(module)
    worker = _make_worker(config, settings, options)
    level = 'DEBUG' if options['verbose'] else 'WARNING' if options['quiet'] else options['logging_level']
    try:
        worker.work(
            burst=options['burst'],
            logging_level=level,
            date_format=options['date_format'],
            log_format=options['log_format'],
            max_jobs=options['max_jobs'],
            max_idle_time=options['max_idle_time'],
            with_scheduler=options['with_scheduler'],
            dequeue_strategy=DequeueStrategy(strategy),
        )
    except ImportFailed as error:
        if error.name in ', '.join(options['imports']):
            raise click.BadParameter(str(error), param_hint='--import') from error
        raise click.UsageError(str(error)) from error
    return 1 if getattr(worker, 'broken', False) else 0


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise click.BadParameter(describe(module, error), param_hint='--import') from error


def _warn(text: str) -> None:
    click.secho(text, fg='yellow', err=True)


def _refuse_ours(worker_class: type) -> None:
    """Refuse our options for other worker classes; warn about those set in the environment."""
    from rq_leveldb.worker import Worker

    if issubclass(worker_class, Worker):
        return
    context = click.get_current_context()
    given: dict[ParameterSource | None, list[str]] = {}
    for option in _OURS:
        # These two work with any worker class.
        if option.name and option.name not in ('imports', 'no_http'):
            given.setdefault(context.get_parameter_source(option.name), []).append(option.opts[0])
    class_name = f'{worker_class.__module__}.{worker_class.__qualname__}'
    if ParameterSource.COMMANDLINE in given:
        names = ', '.join(given[ParameterSource.COMMANDLINE])
        raise click.UsageError(f'{class_name} does not support {names}; only rq_leveldb.Worker and its subclasses do')
    if ParameterSource.ENVIRONMENT in given:
        _warn(
            f'Not used by {class_name}, though the environment sets it: {", ".join(given[ParameterSource.ENVIRONMENT])}'
        )


def _make_worker(config: CliConfig, settings: dict[str, Any], options: dict[str, Any]) -> Any:
    from rq_leveldb.worker import Worker

    serializer = options['serializer']
    queues = [
        config.queue_class(name, connection=config.connection, job_class=config.job_class, serializer=serializer)
        for name in options['queues'] or settings.get('QUEUES', ['default'])
    ]
    arguments: dict[str, Any] = {
        'name': options['name'] or settings.get('NAME'),
        'connection': config.connection,
        'worker_ttl': options['worker_ttl'],
        'default_result_ttl': options['results_ttl'],
        'maintenance_interval': options['maintenance_interval'],
        'job_monitoring_interval': options['job_monitoring_interval'],
        'job_class': config.job_class,
        'queue_class': config.queue_class,
        'exception_handlers': [import_attribute(name) for name in options['exception_handler']] or None,
        'disable_default_exception_handler': options['disable_default_exception_handler'],
        'log_job_description': not options['disable_job_desc_logging'],
        'serializer': serializer,
    }
    if issubclass(config.worker_class, Worker):
        arguments['settings'] = _settings(options)
        arguments['services'] = _services(options)
        arguments['cron'] = options['cron']
        arguments['status_line'] = _status_line(options)
    worker: Any = config.worker_class(queues, **arguments)
    worker.death_penalty_class = config.death_penalty_class
    return worker


def _settings(options: dict[str, Any]) -> Settings:
    from rq_leveldb.worker import Settings
    from rq_leveldb.worker.code_watcher import require_watchfiles
    from rq_leveldb.worker.settings import NamedHook

    if options['reload']:
        try:
            require_watchfiles()
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint='--reload') from error
    settings = Settings(
        grace=options['grace'],
        requeue_abandoned=options['requeue_abandoned'],
        max_crashes=options['max_crashes'],
        job_memory=options['job_memory'],
        keep_finished=options['keep_finished'],
        keep_failed=options['keep_failed'],
        capture_output=options['capture_output'] or 0,
        child_memory=options['child_memory'],
        preload=options['preload'] == 'auto',
        imports=list(options['imports']),
        reload=options['reload'],
        before_first_fork=[NamedHook(name) for name in options['before_first_fork']],
        before_fork=[NamedHook(name) for name in options['before_fork']],
        after_fork=[NamedHook(name) for name in options['after_fork']],
    )
    if options['max_children'] is not None:
        settings.max_children = options['max_children']
    if options['jobs_per_child'] is not None:
        settings.jobs_per_child = options['jobs_per_child']
    try:
        settings.check()
    except ValueError as error:
        raise click.UsageError(_in_options(str(error))) from error
    if options['burst'] and settings.max_children == 0:
        raise click.UsageError('With --max-children 0, no job is run, and --burst would wait for them for ever.')
    return settings


def _in_options(text: str) -> str:
    """Return a text about settings with the names of the options."""
    for name in ('jobs_per_child', 'child_memory', 'max_children', 'capture_output', 'grace'):
        text = text.replace(name, f'--{name.replace("_", "-")}')
    return text


def _services(options: dict[str, Any]) -> list[Service]:
    if options['no_http'] or (options['burst'] and options['http'] is None):
        # A burst ends soon, so it gets a front only if one is asked for.
        return []
    try:
        from rq_leveldb.worker.front import Front
    except ImportError:
        return []
    further = [f'--import={module}' for module in options['imports']]
    further += [f'--allow={pattern}' for pattern in options['allow']]
    further += [f'--path={path}' for path in options['path']]
    if options['serializer']:
        further.append(f'--serializer={options["serializer"]}')
    front = Front(options['url'], options['http'], further)
    if options['http'] is not None:
        front.require()
    return [front]


def _status_line(options: dict[str, Any]) -> Any:
    from rq_leveldb.worker.status_line import ClearingHandler, StatusLine

    wanted = options['status_line']
    if wanted is None:
        wanted = sys.stderr.isatty() and not options['burst'] and not options['quiet']
    if not wanted:
        return None
    line = StatusLine()
    for name in ('rq.worker', 'rq.job', 'rq.scheduler'):
        logging.getLogger(name).handlers.insert(0, ClearingHandler(line))
    return line


_HELP = """Run jobs of QUEUES (default: the queue named default), several at once, each in its own process.

After the first SIGINT or SIGTERM the worker takes no more jobs and waits for the running ones (--grace); a second
one, at least a second later, stops them. Exit codes: 0 stopped as asked, or nothing left to do; 1 could not start or
continue; 2 the command was not understood.
"""

worker = click.Command(
    'worker',
    callback=_work,
    params=_parameters(),
    help=_HELP,
)
