"""rq-leveldb check --jobs: find what does not hold together in RQ's data, and repair it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rq_leveldb.cli import render
from rq_leveldb.cli.progress import Progress
from rq_leveldb.errors import mask_password
from rq_leveldb.location import is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.soundness import Finding, Report

__all__ = ['check_jobs']

# Of each kind; --json has up to 1,000.
_SHOWN = 20


def check_jobs(url: str | None, *, fix: bool, as_json: bool) -> int:
    """Check what RQ keeps in a place, print what was found, and return the exit code.

    Args:
        url: the place; None for the default one.
        fix: whether to repair what can be repaired.
        as_json: whether to print JSON.
    """
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.soundness import Check, Report

    is_redis = url is not None and is_redis_url(url)
    place = url if is_redis and url is not None else parse(url).url
    report = Report()
    if is_redis or parse(url).directory.check():
        with Redis.from_url(place) as connection, Progress() as shown:
            report = Check(connection, _may_live(connection), fix=fix, progress=shown.show).run()
    if as_json:
        render.document(_described(report, place))
    else:
        _show(report, place, fix=fix)
        if is_redis:
            click.echo('The files of a Redis server are its own matter: see redis-check-aof and redis-check-rdb.')
    return 1 if report.unfixed else 0


def _may_live(connection: Redis) -> Callable[[str], bool]:
    """Return what says whether the worker of a name may be alive."""
    from rq_leveldb.cli.workers_seen import read_workers
    from rq_leveldb.worker.liveness import Life, judge, subscribed
    from rq_leveldb.worker.name_lock import NameLocks

    locks = NameLocks.of(connection)

    def may_live(name: str) -> bool:
        (worker,) = read_workers(connection, [name])
        said = {field: text for field, text in worker.identity.items() if text}
        life = judge(name, said, locks)
        return life is Life.ALIVE or (life is Life.UNKNOWN and (bool(said) or bool(subscribed(connection, [name]))))

    return may_live


def _described(report: Report, place: str) -> dict[str, object]:
    return {
        'url': mask_password(place),
        'sound': report.sound,
        'mended': report.harmful > 0 and not report.unfixed,
        'jobs': report.jobs,
        'keys': report.keys,
        'counts': dict(report.counts),
        'findings': [asdict(finding) for finding in report.findings],
    }


def _show(report: Report, place: str, *, fix: bool) -> None:
    if report.findings:
        _show_findings(report)
    where = f'{report.jobs:,} jobs in {mask_password(place)}'
    if report.sound:
        note = ', apart from what is named above and harms nothing' if report.findings else ''
        click.echo(f'{render.good("Sound")}: {where}{note}')
    elif not report.unfixed:
        click.echo(f'{render.good("Mended")}: {where}')
    else:
        kept = f', {report.unfixed:,} of them left' if fix else '. Nothing was changed'
        problems = f'{report.harmful:,} problem{"s" if report.harmful != 1 else ""}'
        click.echo(f'{render.bad("Not sound")}: {where}: {problems}{kept}.')
    if not fix and any(finding.fixable for finding in report.findings):
        click.echo('rq-leveldb check --jobs --fix makes the repairs listed above.')


def _show_findings(report: Report) -> None:
    shown: list[Finding] = []
    for kind in report.counts:
        shown += [finding for finding in report.findings if finding.kind == kind][:_SHOWN]
    render.findings([(one.harmless, one.key, one.problem, _repair(one)) for one in shown], 'wrong', 'Repair')
    for kind, count in report.counts.items():
        if count > _SHOWN:
            click.echo(f'{count - _SHOWN:,} more of the kind {kind} (--json names up to 1,000)')


def _repair(finding: Finding) -> str:
    if finding.fixed:
        return f'Mended: {finding.remedy}'
    return f'With --fix: {finding.remedy}' if finding.fixable else f'To do: {finding.remedy}'
