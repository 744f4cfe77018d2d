"""Scripts that run for long or met a limit, on a running store: what they leave behind, and how they end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import Redis
from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.replies import ReplyError
from rq_leveldb.store.script_time import ScriptAborted, ScriptTime, TimeLimits


def resident(redis: Redis) -> int:
    return int(redis.info('memory')['used_memory_rss'])


def is_busy(redis: Redis) -> bool:
    try:
        redis.ping()
    except redis_py.ResponseError as error:
        return str(error).startswith('BUSY')
    return False


def test_the_memory_of_scripts_that_met_their_cap_comes_back(redis: Redis) -> None:
    before = resident(redis)
    for number in range(12):
        # 64 MiB each, and another script each time.
        with pytest.raises(redis_py.ResponseError, match='Script killed'):
            redis.eval(f'local t = {{}} while true do t[#t + 1] = {{{number}}} end', 0)
    assert resident(redis) - before < 200 << 20


def test_a_reply_of_very_many_elements_ends_the_script(redis: Redis) -> None:
    """Each table is small; what they stand for is not."""
    source = """
        local t = {}
        for i = 1, 1000 do t[i] = i end
        for n = 1, 3 do
            local outer = {}
            for i = 1, 1000 do outer[i] = t end
            t = outer
        end
        return t
    """
    before = resident(redis)
    with pytest.raises(redis_py.ResponseError, match='Script killed'):
        redis.eval(source, 0)
    assert resident(redis) - before < 600 << 20


def test_a_source_that_takes_for_ever_to_compile_is_refused(redis: Redis) -> None:
    with pytest.raises(redis_py.ResponseError, match=r'Error compiling script .* and, or, break and elseif'):
        redis.eval('return ' + 'x and ' * 200_000 + 'x', 0)
    # Words that only look like them are fine.
    assert redis.eval('return #{' + '"or_and", ' * 50_000 + '}', 0) == 50_000


def test_shutdown_nosave_undoes_a_script_that_wrote(redis: Redis, store_dir: Path) -> None:
    redis.config_set('busy-reply-threshold', 20)
    source = b"redis.call('set', 'k', 'v') while true do end"
    with socket.socket(socket.AF_UNIX) as caller, Redis.from_url(f'leveldb://{store_dir}') as other:
        caller.settimeout(20)
        caller.connect(str(store_dir / 'store.sock'))
        caller.sendall(b'*3\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n0\r\n' % (len(source), source))
        while not is_busy(other):
            pass
        with pytest.raises(redis_py.ResponseError, match='UNKILLABLE'):
            other.script_kill()
        other.shutdown(nosave=True)
        assert caller.recv(1000).startswith(b'-ERR Script killed: the store stops')
        assert caller.recv(1000) == b''
    # The next command starts a store again.
    assert redis.get('k') is None


class Attention:
    def __init__(self) -> None:
        self.paid = 0

    def pay(self) -> None:
        self.paid += 1


def script_time(threshold: int, attention: Attention) -> ScriptTime:
    settings = StoreSettings(None, busy_reply_threshold=threshold)  # type: ignore[arg-type]
    return ScriptTime(settings, attention.pay, lambda: None, TimeLimits(reading=5, writing=300))


def test_others_are_heard_from_the_threshold_on() -> None:
    attention = Attention()
    time = script_time(5000, attention)
    time.begin()
    time.wrote = True
    assert time.look(4.9) is None
    assert attention.paid == 0
    assert time.look(5) is None
    assert attention.paid == 1


@pytest.mark.parametrize(
    ('threshold', 'wrote', 'seconds'),
    [(5000, False, 5), (5000, True, 300), (10, False, 5), (10, True, 300), (20_000, False, 20), (20_000, True, 1200)],
)
def test_a_script_ends_by_itself(threshold: int, wrote: bool, seconds: float) -> None:
    time = script_time(threshold, Attention())
    time.begin()
    time.wrote = wrote
    assert time.look(seconds - 0.1) is None
    assert isinstance(time.look(seconds), ScriptAborted)


def test_without_a_threshold_there_is_no_end() -> None:
    attention = Attention()
    time = script_time(0, attention)
    time.begin()
    assert time.look(1e6) is None
    assert attention.paid == 0


def test_what_was_asked_of_one_script_does_not_concern_the_next() -> None:
    time = script_time(10, Attention())
    time.begin()
    time.kill()
    assert type(time.look(1)) is ReplyError
    time.end()
    time.begin()
    assert time.look(1) is None
