"""Subcommands, pauses and what operators look at, with a real store."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import Redis
from rq_leveldb.store import catalogue
from rq_leveldb.store.commands.table import all_commands
from tests.store.direct import Direct


def test_every_command_is_in_the_catalogue_once() -> None:
    assert sorted(name for name, _ in catalogue.entries(lambda name: True)) == _names()


def test_every_command_has_a_sentence_in_summaries_txt_in_the_order_of_names() -> None:
    told = list(catalogue.summaries(lambda name: True))
    assert [name for name, _ in told] == _names()
    assert [name for name, summary in told if not re.fullmatch(r'[A-Z].*\.', summary)] == []


def _names() -> list[bytes]:
    commands = [one for command in all_commands() for one in (command, *command.subcommands.values())]
    return sorted(one.name.encode() for one in commands)


def test_docs_have_the_summary(redis: Redis) -> None:
    redis.set_response_callback('COMMAND', lambda reply: reply)  # redis-py expects the reply of COMMAND alone
    docs = redis.execute_command('COMMAND', 'DOCS', 'set')[b'set']
    assert docs[b'summary'].decode() == dict(catalogue.summaries(b'set'.__eq__))[b'set']
    assert (docs[b'since'], docs[b'group']) == (b'1.0.0', b'string')


def test_help_tells_of_each_subcommand_how_it_is_called_and_its_summary(direct: Direct) -> None:
    told = {name: f'    {summary}' for name, summary in catalogue.summaries(lambda name: True)}
    assert _lines_after(direct, 'XGROUP', 'CREATE <key> <groupname> <id|$> [option]')[:3] == [
        told[b'xgroup|create'],
        '    * MKSTREAM',
        '    * ENTRIESREAD entries_read',
    ]
    assert _lines_after(direct, 'COMMAND', '(no subcommand)')[:3] == [
        told[b'command'],
        'COUNT',
        told[b'command|count'],
    ]
    assert _lines_after(direct, 'client', '         [OPTIN] [OPTOUT] [NOLOOP]')[0] == told[b'client|tracking']
    assert direct.call('client', 'help')[0].decode().startswith('CLIENT <subcommand> ')


def _lines_after(direct: Direct, container: str, line: str) -> list[str]:
    lines = [one.decode() for one in direct.call(container, 'HELP')]
    return lines[lines.index(line) + 1 :]


def test_a_write_over_a_key_that_expired_while_writes_are_paused(redis: Redis) -> None:
    redis.set('list', 1, px=1)
    redis.set('string', 1, px=1)
    redis.set('renamed', 1, px=1)
    time.sleep(0.01)
    with redis.pipeline() as pipeline:
        pipeline.client_pause(60_000, all=False)
        pipeline.rpush('list', 'x')
        pipeline.set('string', 'y')
        pipeline.set('other', 'z')
        pipeline.rename('other', 'renamed')
        assert pipeline.execute()[1:] == [1, True, True, True]
    assert redis.dbsize() == 3
    redis.client_unpause()
    assert redis.lrange('list', 0, -1) == [b'x']
    assert [redis.get('string'), redis.get('renamed')] == [b'y', b'z']
    assert [redis.ttl(key) for key in ('list', 'string', 'renamed')] == [-1, -1, -1]
    assert redis.dbsize() == 3


def test_commands_that_a_pause_holds_are_lost_with_their_client_and_not_done(redis: Redis, store_dir: Path) -> None:
    with Redis.from_url(f'leveldb://{store_dir}', socket_timeout=0.2, retry=None) as impatient:
        impatient.ping()
        redis.client_pause(60_000, all=False)
        with pytest.raises(redis_py.TimeoutError):
            impatient.set('a', 1)
    while redis.info('clients')['blocked_clients']:
        pass
    redis.client_unpause()
    redis.set('b', 1)
    assert redis.keys() == [b'b']


def test_changes_since_the_last_save(redis: Redis) -> None:
    redis.save()
    assert redis.info('persistence')['rdb_changes_since_last_save'] == 0
    redis.set('a', 1)
    redis.mset({'a': 1, 'b': 2})
    redis.get('a')
    redis.delete('nothing')
    assert redis.info('persistence')['rdb_changes_since_last_save'] == 3
    before = redis.lastsave()
    redis.bgsave()
    assert redis.info('persistence')['rdb_changes_since_last_save'] == 0
    assert redis.lastsave() >= before
    assert redis.bgrewriteaof()


def test_scripts_that_are_remembered_are_counted(redis: Redis) -> None:
    redis.script_flush()
    redis.script_load('return 1')
    redis.eval('return 2', 0)
    assert redis.info('memory')['number_of_cached_scripts'] == 2


def test_what_was_removed_is_counted_until_its_records_have_gone(redis: Redis) -> None:
    redis.rpush('list', *range(5000))
    with redis.pipeline() as pipeline:
        pipeline.delete('list')
        pipeline.info('memory')
        assert pipeline.execute()[1]['lazyfree_pending_objects'] > 0
    while redis.info('memory')['lazyfree_pending_objects']:
        pass
    assert redis.info('memory')['lazyfreed_objects'] == 1
    redis.mset({f'key{number}': number for number in range(20)})
    redis.zadd('zset', {f'member{number}': number for number in range(500)})
    redis.config_resetstat()
    redis.flushall()
    assert redis.info('memory')['lazyfreed_objects'] == 0
    while redis.info('memory')['lazyfree_pending_objects']:
        pass
    assert redis.info('memory')['lazyfreed_objects'] == 21


def test_waiting_for_the_disk(redis: Redis) -> None:
    syncs = redis.info('persistence')['syncs']
    redis.set('a', 1)
    assert redis.execute_command('WAITAOF', 0, 0, 0) == [0, 0]
    started = time.monotonic()
    assert redis.execute_command('WAITAOF', 1, 0, 0) == [1, 0]
    # Without it the sync would follow within a second.
    assert time.monotonic() - started < 0.9
    assert redis.info('persistence')['syncs'] > syncs
    assert redis.execute_command('WAITAOF', 0, 0, 0) == [1, 0]
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.set('a', 2)
        pipeline.execute_command('WAITAOF', 1, 0, 0)
        pipeline.get('a')
        assert pipeline.execute() == [True, [1, 0], b'2']
    with redis.pipeline() as pipeline:
        pipeline.set('a', 3)
        pipeline.execute_command('WAITAOF', 1, 0, 0)
        assert pipeline.execute() == [True, [0, 0]]


def test_statistics_are_kept_for_each_subcommand(redis: Redis) -> None:
    redis.client_id()
    assert 'cmdstat_client|id' in redis.info('commandstats')
    assert redis.client_info()['cmd'] == 'client|info'


def test_removing_expired_keys_can_be_stopped_for_tests(redis: Redis) -> None:
    redis.execute_command('DEBUG', 'SET-ACTIVE-EXPIRE', 0)
    redis.set('a', 1, px=1)
    redis.execute_command('DEBUG', 'SLEEP', 0.05)
    assert redis.dbsize() == 1
    assert redis.get('a') is None
    redis.set('a', 1, px=1)
    redis.execute_command('DEBUG', 'SET-ACTIVE-EXPIRE', 1)
    while redis.dbsize():
        pass


def test_a_sorted_set_is_read_behind_an_entry_that_need_not_be_there(redis: Redis) -> None:
    redis.zadd('z', {'a': 1, 'b': 1, 'c': 1, 'd': float('inf')})

    def behind(*arguments: object) -> list[bytes]:
        found: list[bytes] = redis.execute_command('DEBUG', 'ZRANGE-BEHIND', *arguments)
        return found

    assert behind('z', 1, 'a', 'ASC', 2) == behind('z', '1.0', 'aa', 'asc', 2) == [b'b', b'1', b'c', b'1']
    assert behind('z', 'inf', 'd', 'DESC', 2) == [b'c', b'1', b'b', b'1']
    assert behind('z', 1, 'c', 'ASC', 9) == [b'd', b'inf']
    assert behind('z', 1, 'a', 'DESC', 9) == behind('z', 'inf', 'd', 'ASC', 9) == behind('no', 1, 'a', 'ASC', 9) == []
    redis.set('text', 'x')
    for wrong in (
        ('text', 1, 'a', 'ASC', 1),
        ('z', 'x', 'a', 'ASC', 1),
        ('z', 1, 'a', 'UP', 1),
        ('z', 1, 'a', 'ASC', -1),
        ('z',),
    ):
        with pytest.raises(redis_py.ResponseError):
            behind(*wrong)
