"""rq-leveldb compact: give back the space of what was removed, now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from rq_leveldb.cli import options, render
from rq_leveldb.cli.progress import Progress
from rq_leveldb.errors import StoreError
from rq_leveldb.location import is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.client.connection import Redis

__all__ = ['compact']

# Seconds between two looks.
_LOOK = 0.1


@click.command()
@options.url
@options.json_output
def compact(url: str | None, as_json: bool) -> None:
    """Let the store rewrite its files without what was removed or overwritten, while work goes on.

    It does so by itself when much was removed and there is little to do. Until it has ended it may take as much space
    again as the largest of its tables.
    """
    if url is not None and is_redis_url(url):
        raise click.UsageError('A Redis server keeps its data in memory, where there is nothing to compact.')
    if not parse(url).directory.check():
        raise StoreError(parse(url).url, title='There is no store', advice='Name one with --url.')
    from redis.exceptions import ResponseError

    from rq_leveldb.client.connection import Redis

    with Redis.from_url(parse(url).url) as redis, Progress() as shown:
        started = time.monotonic()
        before = _persistence(redis)['disk_bytes']
        try:
            redis.execute_command('BGREWRITEAOF')
        except ResponseError as error:
            if 'already in progress' not in str(error):
                raise
        while (found := _persistence(redis))['aof_rewrite_in_progress']:
            shown.show('Compacting', found['compacted_percent'], 100)
            time.sleep(_LOOK)
    after = found['disk_bytes']
    seconds = time.monotonic() - started
    if as_json:
        render.document({'before': before, 'after': after, 'seconds': round(seconds, 3)})
    else:
        click.echo(f'{render.size(before)} before, {render.size(after)} now; it took {render.duration(seconds)}.')


def _persistence(redis: Redis) -> dict[str, int]:
    found: dict[str, int] = redis.info('persistence')
    return found
