"""rq-leveldb migrate between a store and a real Redis, both ways."""

from __future__ import annotations

import json
import math
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis as PlainRedis
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, ScheduledJobRegistry

from compat_tests.real_redis import RealRedis, find_server
from rq_leveldb import Redis
from rq_leveldb.migrate import Migration
from rq_leveldb.migrate.record import PART
from tests.all_types import fill
from tests.conftest import stop_store
from tests.until import until

OWN = 'rq-leveldb:migration'


class Places(NamedTuple):
    source: str
    target: str
    old: Redis
    new: Redis

    def turned(self) -> Places:
        return Places(self.target, self.source, self.new, self.old)


@pytest.fixture(scope='module')
def server() -> Iterator[RealRedis]:
    with RealRedis() as running:
        yield running


@pytest.fixture(params=['to Redis', 'from Redis'])
def places(request: pytest.FixtureRequest, server: RealRedis, tmp_path: Path) -> Iterator[Places]:
    """An empty store and an empty Redis, in both orders."""
    found = Places(f'leveldb://{tmp_path}/store', f'unix://{server.socket_path}', *(None, None))  # type: ignore[arg-type]
    with Redis.from_url(found.source) as store, Redis.from_url(found.target) as redis:
        redis.flushall()
        found = found._replace(old=store, new=redis)
        yield found if request.param == 'to Redis' else found.turned()
    stop_store(tmp_path / 'store')


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'migrate', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def migrate(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    process = start(*arguments)
    out, _ = process.communicate(timeout=100)
    assert 'Traceback' not in out, out
    return process.returncode, out


def kill_when(condition: Callable[[], Any], places: Places, *options: str) -> bool:
    """Start the command and kill it; return whether it had not ended before."""
    process = start(places.source, places.target, *options)
    try:
        until(lambda: condition() or process.poll() is not None)
    finally:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def value(redis: Redis, key: bytes) -> Any:
    """All of a key that is to be carried over."""
    kind = redis.type(key)
    if kind == b'string':
        return redis.get(key)
    if kind == b'hash':
        return redis.hgetall(key)
    if kind == b'list':
        return redis.lrange(key, 0, -1)
    if kind == b'set':
        return set(redis.smembers(key))
    if kind == b'zset':
        return redis.zrange(key, 0, -1, withscores=True)
    assert kind == b'stream', kind
    about = redis.xinfo_stream(key)
    groups = []
    for group in redis.xinfo_groups(key):
        consumers = sorted((one['name'], one['pending']) for one in redis.xinfo_consumers(key, group['name']))
        pending = redis.xpending_range(key, group['name'], '-', '+', 1000)
        waiting = [(one['message_id'], one['consumer'], one['times_delivered']) for one in pending]
        groups.append((group['name'], group['last-delivered-id'], group['entries-read'], consumers, waiting))
    state = [about[name] for name in ('length', 'last-generated-id', 'entries-added', 'max-deleted-entry-id')]
    return state, redis.xrange(key), groups


def contents(redis: Redis, pattern: str = '*') -> dict[bytes, Any]:
    """All keys with type, expiry and value, without the migration's own."""
    return {
        key: (redis.type(key), redis.pexpiretime(key), value(redis, key))
        for key in redis.scan_iter(pattern, count=500)
        if not key.startswith(OWN.encode())
    }


def test_all_types_arrive_as_they_were(places: Places) -> None:
    fill(places.old)
    before = contents(places.old)
    code, out = migrate(places.source, places.target)
    assert code == 0, out
    assert 'Done and verified' in out
    assert '19 keys are equal' in out
    after = contents(places.new)
    assert set(before) - set(after) == {b'other'}
    del before[b'other']
    assert after == before
    # An hour's time-outs and scores to the last bit are among them.
    assert contents(places.old, 'rq*') == before


def test_all_means_all(places: Places) -> None:
    fill(places.old)
    assert migrate(places.source, places.target, '--all')[0] == 0
    assert contents(places.new) == contents(places.old)


def test_dry_run_shows_the_plan_and_changes_nothing(places: Places) -> None:
    fill(places.old)
    code, out = migrate(places.source, places.target, '--dry-run')
    assert code == 0
    assert '19 (' in out
    assert '2 list' in out
    assert 'Nothing was changed' in out
    assert ['default', '100'] in [line.split()[:2] for line in out.splitlines()]
    assert places.new.dbsize() == 0
    code, out = migrate(places.source, places.target, '--dry-run', '--json')
    plan = json.loads(out)['plan']
    assert plan['keys'] == 19
    assert plan['bytes'] > 1_500_000
    assert plan['queues']['long']['queued'] == 9_000


def many(redis: Redis, count: int = 4_000) -> None:
    """Put many short keys and two long ones into a place."""
    with redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.hset(f'rq:job:{number}', mapping={'data': os.urandom(100), 'status': 'queued', 'origin': 'default'})
        pipe.rpush('rq:queue:default', *range(count))
        pipe.rpush('rq:queue:long', *(f'{number:0100}' for number in range(20_000)))
        pipe.sadd('rq:queues', 'rq:queue:default', 'rq:queue:long')
        pipe.execute()


def test_killed_again_and_again_it_ends_right(places: Places) -> None:
    many(places.old)
    before = contents(places.old)

    killed = 0
    conditions = [lambda size=size: places.new.dbsize() > size for size in (0, 500, 2_500)]
    for condition in (*conditions, lambda: places.new.exists(PART)):
        killed += kill_when(condition, places)
        for key, held in contents(places.new, 'rq:*').items():
            assert held == before[key], f'half of {key!r} under its name'
    assert killed
    code, out = migrate(places.source, places.target)
    assert code == 0, out
    assert 'there from before' in out
    assert contents(places.new) == before


def test_a_server_that_goes_away_is_told_and_the_next_run_ends_right(tmp_path: Path) -> None:
    options = ('--appendonly', 'yes', '--appendfsync', 'always')
    url = f'leveldb://{tmp_path}/store'
    with RealRedis(options=options) as going, Redis.from_url(url) as store:
        many(store)
        target = PlainRedis(unix_socket_path=going.socket_path)
        process = start(url, f'unix://{going.socket_path}')
        until(lambda: target.dbsize() > 100)
        os.kill(going.pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert 'Traceback' not in out
        assert 'The connection was cut' in out
        assert 'run the same command again' in out
        assert going._process is not None
        going._process.wait()
        going.start()
        code, out = migrate(url, f'unix://{going.socket_path}')
        assert code == 0, out
        assert contents(Redis.from_url(f'unix://{going.socket_path}')) == contents(store)
    stop_store(tmp_path / 'store')


def test_a_store_that_is_killed_is_told_and_the_next_run_ends_right(server: RealRedis, tmp_path: Path) -> None:
    url = f'leveldb://{tmp_path}/store'
    with Redis.from_url(url) as store, Redis.from_url(f'unix://{server.socket_path}') as redis:
        redis.flushall()
        many(redis)
        process = start(f'unix://{server.socket_path}', url)
        until(lambda: store.dbsize() > 100)
        os.kill(store.info()['process_id'], signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert 'The connection was cut' in out
        code, out = migrate(f'unix://{server.socket_path}', url)
        assert code == 0, out
        assert contents(store) == contents(redis)
    stop_store(tmp_path / 'store')


def test_a_target_that_runs_full_is_told_and_room_ends_it(server: RealRedis, tmp_path: Path) -> None:
    url = f'leveldb://{tmp_path}/store'
    with Redis.from_url(url) as store, Redis.from_url(f'unix://{server.socket_path}') as redis:
        redis.flushall()
        many(store)
        redis.config_set('maxmemory', redis.info('memory')['used_memory'] + 600_000)
        try:
            code, out = migrate(url, f'unix://{server.socket_path}')
            assert code == 1
            assert 'OOM' in out
            assert 'maxmemory' in out
            assert 'run the same command again' in out
            assert redis.exists(OWN)
        finally:
            redis.config_set('maxmemory', 0)
        code, out = migrate(url, f'unix://{server.socket_path}')
        assert code == 0, out
        assert contents(redis) == contents(store)
    stop_store(tmp_path / 'store')


def test_merge_does_to_each_kind_what_is_documented(places: Places) -> None:
    old, new = places.old, places.new
    for redis, mine, score in ((old, 'old', 1), (new, 'new', 2)):
        redis.rpush('rq:queue:default', f'{mine} 1', f'{mine} 2')
        redis.sadd('rq:queues', 'rq:queue:default', f'rq:queue:{mine}')
        redis.zadd('rq:finished:default', {mine: score, 'both': score})
        redis.hset('rq-leveldb:tally', mapping={mine: 1, 'both': mine})
        redis.set('rq:same', 'equal')
        redis.hset(f'rq:job:{mine}', 'status', 'queued')
    old.xadd('rq:cron', {'a': 1}, id='1-1')
    old.xadd('rq:cron', {'a': 3}, id='3-1')
    new.xadd('rq:cron', {'a': 2}, id='2-1')
    code, out = migrate(places.source, places.target)
    assert code == 3
    assert 'holds RQ data already' in out
    assert '--merge' in out
    code, out = migrate(places.source, places.target, '--merge')
    assert code == 0, out
    assert new.lrange('rq:queue:default', 0, -1) == [b'new 1', b'new 2', b'old 1', b'old 2']
    assert new.smembers('rq:queues') == {b'rq:queue:default', b'rq:queue:old', b'rq:queue:new'}
    assert new.zrange('rq:finished:default', 0, -1, withscores=True) == [(b'both', 1.0), (b'old', 1.0), (b'new', 2.0)]
    assert new.hgetall('rq-leveldb:tally') == {b'old': b'1', b'new': b'1', b'both': b'old'}
    assert [entry for entry, _ in new.xrange('rq:cron')] == [b'1-1', b'2-1', b'3-1']
    assert new.hget('rq:job:old', 'status') == new.hget('rq:job:new', 'status') == b'queued'
    assert list(new.scan_iter(f'{OWN}*')) == [OWN.encode()]
    # Once more, as after an interruption in its last moment: the queue is not appended again.
    code, out = migrate(places.source, places.target, '--merge')
    assert code == 0, out
    assert 'completed within the last ten minutes' in out
    assert new.llen('rq:queue:default') == 4
    assert 0 < new.ttl(OWN) <= 600


def test_a_merge_that_is_killed_does_not_append_a_queue_twice(places: Places) -> None:
    many(places.old)
    places.new.rpush('rq:queue:default', 'first')
    places.new.rpush('rq:queue:long', 'first')
    kill_when(lambda: places.new.dbsize() > 1_000, places, '--merge')
    kill_when(lambda: places.new.dbsize() > 3_000, places, '--merge')
    code, out = migrate(places.source, places.target, '--merge')
    assert code == 0, out
    assert places.new.lrange('rq:queue:default', 0, -1) == [b'first', *places.old.lrange('rq:queue:default', 0, -1)]
    assert places.new.llen('rq:queue:long') == 20_001


def test_what_cannot_be_merged_is_named_and_nothing_is_done(places: Places) -> None:
    for redis in (places.old, places.new):
        redis.hset('rq:job:both', 'status', 'queued')
        redis.xadd('rq:results:both', {'a': 1}, id='5-5')
        redis.set('rq:suspended', '1' if redis is places.old else '2')
    places.old.rpush('rq:other', 'a')
    places.new.sadd('rq:other', 'a')
    places.old.rpush('rq:queue:default', 'both')
    before = contents(places.new)
    code, out = migrate(places.source, places.target, '--merge')
    assert code == 3
    assert 'rq:job:both: both have a job of this id' in out
    assert 'both have the entry 5-5' in out
    assert 'different contents' in out
    assert 'a list in the source and a set in the target' in out
    assert contents(places.new) == before


def test_move_removes_only_what_is_verified(places: Places) -> None:
    fill(places.old)
    before = contents(places.old, 'rq*')
    code, out = migrate(places.source, places.target, '--move')
    assert code == 0, out
    assert '19 removed from the source' in out
    assert contents(places.new) == before
    assert list(places.old.scan_iter()) == [b'other']


def test_a_move_that_is_killed_while_it_removes_can_be_finished(places: Places) -> None:
    many(places.old)
    before = contents(places.old)
    assert kill_when(lambda: places.old.dbsize() < len(before) - 100, places, '--move')
    # A worker in the target has run a job meanwhile: it must not come back.
    places.new.lpop('rq:queue:default')
    code, out = migrate(places.source, places.target, '--move')
    assert code == 0, out
    assert places.old.dbsize() == 0
    assert places.new.lrange('rq:queue:default', 0, -1) == before[b'rq:queue:default'][2][1:]
    assert list(places.new.scan_iter(f'{OWN}*')) == [OWN.encode()]


@pytest.mark.parametrize('both', [False, True])
def test_what_is_written_while_it_is_moved_is_moved_or_named(places: Places, both: bool) -> None:
    many(places.old, 300)
    seen: list[str] = []

    def progress(what: str, done: int, size: int) -> None:
        if what.startswith('Removing') and what not in seen:
            # Lists are removed after the jobs, of which some are gone now.
            places.old.rpush('rq:queue:default', 'late')
            if both:
                places.new.rpush('rq:queue:default', 'enqueued in the target')
        seen.append(what)

    with Migration(places.source, places.target, move=True, progress=progress) as migration:
        outcome = migration.run(migration.plan())
    assert outcome.complete is not both
    if both:
        assert list(outcome.left.some) == ['rq:queue:default']
        assert list(places.old.scan_iter()) == [b'rq:queue:default']
        assert places.new.lindex('rq:queue:default', -1) == b'enqueued in the target'
    else:
        assert places.old.dbsize() == 0
        assert places.new.lrange('rq:queue:default', -2, -1) == [b'299', b'late']


def test_what_is_written_meanwhile_comes_along(places: Places) -> None:
    many(places.old)
    stop = threading.Event()
    pushed = 0

    def push() -> None:
        nonlocal pushed
        with Redis.from_url(places.source) as client:
            while not stop.is_set():
                pushed += 1
                client.hset(f'rq:job:late {pushed}', 'status', 'queued')
                client.rpush('rq:queue:default', f'late {pushed}')
                client.delete(f'rq:job:{pushed}')

    process = start(places.source, places.target)
    until(lambda: places.new.dbsize() > 500)
    pusher = threading.Thread(target=push)
    pusher.start()
    until(lambda: pushed > 50)
    stop.set()
    pusher.join()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert contents(places.new) == contents(places.old)


def test_a_long_queue_that_changes_all_the_time_is_that_of_one_moment(places: Places) -> None:
    """Elements go round and round: each of them is in the target once, and what the two differ in is named."""
    names = [f'{number:040}'.encode() for number in range(20_000)]
    places.old.rpush('rq:queue:default', *names)
    stopped = threading.Event()

    def turn() -> None:
        with Redis.from_url(places.source) as own:
            while not stopped.is_set():
                own.lmove('rq:queue:default', 'rq:queue:default', 'LEFT', 'RIGHT')

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        code, out = migrate(places.source, places.target)
    finally:
        stopped.set()
        turning.join()
    assert code == 4, out
    assert 'rq:queue:default: it changes in the source all the time' in out
    assert sorted(places.new.lrange('rq:queue:default', 0, -1)) == names
    assert places.old.dbsize() == 1
    code, out = migrate(places.source, places.target)
    assert code == 0, out
    assert places.new.lrange('rq:queue:default', 0, -1) == places.old.lrange('rq:queue:default', 0, -1)


def test_a_key_that_the_target_has_changed_is_not_overwritten(places: Places) -> None:
    many(places.old)
    assert kill_when(lambda: places.new.exists('rq:queue:default'), places)
    places.new.rpush('rq:queue:default', 'enqueued in the target')
    code, out = migrate(places.source, places.target)
    assert code == 4
    assert 'rq:queue:default: it was changed in the target by somebody else' in out
    assert places.new.lindex('rq:queue:default', -1) == b'enqueued in the target'


def test_the_same_place_another_source_and_no_source_are_refused(places: Places, tmp_path: Path) -> None:
    places.old.ping()
    code, out = migrate(places.source, places.source)
    assert code == 3
    assert 'same place' in out
    code, out = migrate(f'leveldb://{tmp_path}/none', places.target)
    assert code == 1
    assert 'There is no store' in out
    for url in ('http://here', 'somewhere'):
        code, out = migrate(url, places.target)
        assert code == 2
        assert 'names no store' in out
    code, out = migrate(places.source, 'redis://:secret@127.0.0.1:1/0')
    assert code == 1
    assert 'Nobody answers' in out
    assert 'secret' not in out
    places.new.hset(OWN, mapping={'source': 'redis://elsewhere/0', 'options': '', 'phase': 'copying'})
    code, out = migrate(places.source, places.target)
    assert code == 3
    assert 'redis://elsewhere/0' in out


def test_rights_that_lack_are_named(server: RealRedis, tmp_path: Path) -> None:
    url = f'leveldb://{tmp_path}/store'
    with Redis.from_url(url) as store, Redis.from_url(f'unix://{server.socket_path}') as redis:
        redis.flushall()
        store.set('rq:text', 'a')
        redis.execute_command('ACL', 'SETUSER', 'reader', 'on', '>word', '~*', '+@all', '-@write')
        code, out = migrate(url, f'unix://reader:word@{server.socket_path}')
        assert code == 1
        assert 'NOPERM' in out
        assert 'ACL SETUSER' in out
        assert 'word' not in out.replace('password', '')
        ran = subprocess.run(
            [sys.executable, '-m', 'rq_leveldb', 'migrate', url, '-'],
            input=f'unix://reader:wrong@{server.socket_path}\n',
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        code, out = ran.returncode, ran.stdout
        assert code == 1
        assert 'password' in out
        redis.execute_command('ACL', 'DELUSER', 'reader')
    stop_store(tmp_path / 'store')


def test_a_living_worker_is_in_the_way(places: Places) -> None:
    worker = SimpleWorker(['default'], connection=places.old, name='ann')
    worker.register_birth()
    code, out = migrate(places.source, places.target)
    assert code == 3
    assert 'The worker ann is registered' in out
    assert 'stop the workers' in out
    worker.register_death()
    assert migrate(places.source, places.target)[0] == 0


def test_rq_goes_on_where_it_was(places: Places) -> None:
    old, new = places.old, places.new
    queue = Queue('default', connection=old)
    queued = queue.enqueue(math.sqrt, 16)
    dependent = queue.enqueue(math.sqrt, 25, depends_on=queued)
    scheduled = queue.enqueue_in(timedelta(days=2), math.sqrt, 36)
    failing = Queue('other', connection=old).enqueue(math.sqrt, -1)
    SimpleWorker(['other'], connection=old).work(burst=True)
    due = ScheduledJobRegistry('default', connection=old).get_scheduled_time(scheduled)
    assert migrate(places.source, places.target, '--move')[0] == 0
    assert old.dbsize() == 0
    assert ScheduledJobRegistry('default', connection=new).get_scheduled_time(scheduled.id) == due
    FailedJobRegistry('other', connection=new).requeue(failing.id)
    assert Queue('other', connection=new).job_ids == [failing.id]
    SimpleWorker(['default', 'other'], connection=new).work(burst=True)
    assert Job.fetch(queued.id, connection=new).return_value() == 4.0
    assert Job.fetch(dependent.id, connection=new).return_value() == 5.0
    assert Job.fetch(failing.id, connection=new).get_status() == JobStatus.FAILED
    assert len(Job.fetch(failing.id, connection=new).results()) == 2


@pytest.mark.skipif(sys.platform != 'linux', reason='there is no /proc')
def test_large_values_need_memory_for_one_at_a_time(places: Places) -> None:
    for number in range(40):
        places.old.hset(f'rq:job:{number}', mapping={'data': os.urandom(6_000_000), 'status': 'queued'})
    # Not what wait4 says: that counts from before exec, when the memory was this process'.
    program = (
        'import sys; from pathlib import Path; from rq_leveldb.cli import main\n'
        'try:\n    main.main()\n'
        'finally:\n    print(Path("/proc/self/status").read_text())'
    )
    ran = subprocess.run(
        [sys.executable, '-c', program, 'migrate', places.source, places.target], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    (peak,) = (int(line.split()[1]) for line in ran.stdout.splitlines() if line.startswith('VmHWM'))
    assert peak * 1024 < 128e6
    assert places.new.hstrlen('rq:job:7', 'data') == 6_000_000


def test_a_type_of_a_module_is_named_and_refused(tmp_path: Path) -> None:
    module = find_server().with_name('falkordb.so')
    if not module.exists():
        pytest.skip('there is no module to load')
    with RealRedis(options=('--loadmodule', str(module))) as server:
        redis = PlainRedis(unix_socket_path=server.socket_path)
        redis.execute_command('GRAPH.QUERY', 'rq:graph', 'CREATE (:node)')
        redis.rpush('rq:queue:default', 'job')
        code, out = migrate(f'unix://{server.socket_path}', f'leveldb://{tmp_path}/store')
        assert code == 3
        assert 'rq:graph: its type, graphdata, is of a module and cannot be carried over' in out
    stop_store(tmp_path / 'store')


def test_two_migrations_at_once_are_refused(places: Places) -> None:
    places.old.set('rq:text', 'a')
    with Redis.from_url(places.target, client_name='rq-leveldb-migrate', single_connection_client=True) as other:
        other.ping()
        code, out = migrate(places.source, places.target)
        assert code == 3
        assert 'Another migration is at work' in out
    assert migrate(places.source, places.target)[0] == 0


def test_a_terminal_shows_how_far_it_is(places: Places) -> None:
    many(places.old)
    main, terminal = pty.openpty()
    program = 'import sys; from rq_leveldb.cli import main, progress; progress._SHOWN_AFTER = 0; sys.exit(main.main())'
    process = subprocess.Popen(
        [sys.executable, '-c', program, 'migrate', places.source, places.target],
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b''
    try:
        while piece := os.read(main, 65536):
            shown += piece
    except OSError:
        pass  # Linux says so when nobody writes any more.
    finally:
        os.close(main)
    assert process.wait(60) == 0
    assert b'Copying' in shown
    assert b'Verifying' in shown
    assert b'/4003' in shown


def test_a_connection_that_is_cut_is_told(server: RealRedis, tmp_path: Path) -> None:
    url = f'leveldb://{tmp_path}/store'
    with Redis.from_url(url) as store, Redis.from_url(f'unix://{server.socket_path}') as redis:
        redis.flushall()
        many(store)
        with _Cutter(server.socket_path, str(tmp_path / 'c'), after=400_000):
            code, out = migrate(url, f'unix://{tmp_path}/c')
            assert code == 1
            assert 'The connection was cut' in out
            assert 'run the same command again' in out
        assert 0 < redis.dbsize() < store.dbsize()
    stop_store(tmp_path / 'store')


class _Cutter:
    """Passes bytes on to a server, and hangs up on everybody after so many."""

    def __init__(self, server: str, path: str, after: int) -> None:
        self._server = server
        self._left = after
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._open: list[socket.socket] = [self._listener]

    def __enter__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self._cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(self._server)
            self._open += [client, behind]
            for one, other in ((client, behind), (behind, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self._left -= len(data)
                if self._left < 0:
                    break
                other.sendall(data)
        except OSError:
            pass
        if self._left < 0:
            self._cut()

    def _cut(self) -> None:
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                one.close()
