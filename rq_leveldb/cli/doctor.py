"""rq-leveldb doctor: what is wrong with a place, and how it is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rq_leveldb.cli import options, render
from rq_leveldb.errors import StoreError
from rq_leveldb.location import is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.cli.diagnosis import Finding

__all__ = ['doctor']

_COLOURS = {'fine': 'green', 'note': 'cyan', 'warning': 'yellow', 'error': 'red'}
# Seconds within which the store has to answer.
_PATIENCE = 5.0

_EPILOG = """\b
It looks at the directory (owner, permissions, space, a socket that was left),
the versions of the store and the workers, queues without a worker, jobs that
are stuck in a registry, functions that cannot be found from here (give --path
as for the worker), and the clocks.

\b
Exit codes: 0 nothing is wrong, or there are only notes; 1 a warning or an
error; 2 the command was not understood.
"""


@click.command(epilog=_EPILOG)
@options.url
@click.option('--path', '-P', default=['.'], multiple=True, help='Where the modules of jobs are.')
@options.json_output
def doctor(url: str | None, path: tuple[str, ...], as_json: bool) -> int:
    """Say what is wrong with a place, and how to mend it. Nothing is changed, and nothing that jobs hold is run.

    A store that does not run is started, for it has to be asked; but none is made where there is none yet.
    """
    from redis.exceptions import RedisError

    from rq_leveldb.cli import diagnosis, place
    from rq_leveldb.cli.server_state import read_server
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.client.explanation import explain

    place.extend_path(path)
    findings: list[Finding] = []
    is_server = url is not None and is_redis_url(url)
    try:
        if is_server or diagnosis.examine_directory(parse(url).directory, findings):
            with (
                Redis.from_url(url, socket_timeout=_PATIENCE) if url else Redis(socket_timeout=_PATIENCE) as connection
            ):
                if is_server:
                    findings += [diagnosis.Finding('warning', text) for text in read_server(connection)['warnings']]
                diagnosis.examine_contents(connection, findings)
    except StoreError as error:
        findings.append(diagnosis.Finding('error', f'{error.title}: {error.where}', error.advice))
    except RedisError as error:
        what, advice = explain(error) or (str(error), 'store.log in the data directory may say why.')
        findings.append(diagnosis.Finding('error', f'The store does not answer: {what}', advice))
    is_well = all(finding.level in ('fine', 'note') for finding in findings)
    if as_json:
        render.document({'is_well': is_well, 'findings': [vars(finding) for finding in findings]})
    else:
        _show(findings)
    return 0 if is_well else 1


def _show(findings: list[Finding]) -> None:
    width = max(map(len, _COLOURS))
    for finding in findings:
        level = click.style(finding.level.ljust(width), fg=_COLOURS[finding.level])
        click.echo(f'{level}  {render.cut(finding.what)}')
        if finding.remedy:
            click.echo(f'{"":{width}}  {finding.remedy}')
