"""Keys go at their time, alike, and nothing sees them afterwards."""

from __future__ import annotations

import time

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from compat_tests.comparison.contest import Contest, Server
from compat_tests.comparison.programs import Step, programs
from compat_tests.real_redis import RealRedis

KEYS = ['s1', 's2', 'h1', 'l1', 't1', 'z1', 'x1']
TYPES = ['string', 'hash', 'list', 'set', 'sorted_set', 'stream']
LIFETIME_MS = 120


@pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])
def test_what_expired_is_gone_for_every_command(protocol: int, model: RealRedis, store: Server) -> None:
    # Shrinking would wait for the expiry hundreds of times.
    @settings(max_examples=12, phases=(Phase.explicit, Phase.generate))
    @given(programs(TYPES), st.lists(st.sampled_from(KEYS), min_size=1), programs([*TYPES, 'generic', 'scripting']))
    def run(before: list[Step], expiring: list[str], after: list[Step]) -> None:
        with Contest(model, store, protocol) as contest:
            for client, command in before:
                contest.send(client, *command)
            contest.send('b', 'WATCH', *expiring)
            for key in expiring:
                contest.send('a', 'PEXPIRE', key, LIFETIME_MS)
            # Nothing to be waited for tells of an expiry that no command has noticed yet: that is the point.
            time.sleep((LIFETIME_MS + 40) / 1000)
            contest.send('b', 'MULTI')
            contest.send('b', 'PING')
            contest.send('b', 'EXEC')
            for client, command in after:
                # DBSIZE may count what is due and was not removed yet.
                if command[0] != b'DBSIZE':
                    contest.send(client, *command)
            contest.compare_contents()

    run()


def test_a_scan_that_meets_expired_keys_gives_the_others(model: RealRedis, store: Server) -> None:
    with Contest(model, store) as contest:
        for number in range(200):
            contest.send('a', 'SET', f'goes {number}', 1, 'PX', 60)
        for number in range(5):
            contest.send('a', 'SET', f'stays {number}', 1)
        time.sleep(0.1)
        contest.send('a', 'SCAN', 0)
        contest.send('a', 'SCAN', 0, 'COUNT', 3, 'MATCH', 's*')


@pytest.mark.parametrize('command', ['PEXPIRE {} 60', 'SET {} x PX 60', 'PEXPIREAT {} {now+60}', 'RESTORED'])
def test_dbsize_and_keys_after_the_time(command: str, model: RealRedis, store: Server) -> None:
    with Contest(model, store) as contest:
        contest.send('a', 'SET', 'stays', 1)
        contest.send('a', 'SET', 'goes', 1)
        if command == 'PEXPIRE {} 60':
            contest.send('a', 'PEXPIRE', 'goes', 60)
        elif command == 'SET {} x PX 60':
            contest.send('a', 'SET', 'goes', 'x', 'PX', 60)
        elif command == 'PEXPIREAT {} {now+60}':
            contest.send('a', 'PEXPIREAT', 'goes', int(time.time() * 1000) + 60)
        else:
            contest.send('a', 'PEXPIRE', 'goes', 60)
            contest.send('a', 'RENAME', 'goes', 'went')
        time.sleep(0.1)
        contest.send('a', 'KEYS', '*')
        contest.send('a', 'SCAN', 0)
        contest.send('a', 'EXISTS', 'goes', 'went', 'stays')
        contest.send('a', 'SET', 'goes', 1, 'NX')
        contest.send('a', 'TTL', 'goes')
        deadline = time.monotonic() + 5
        sizes = [wire.call('DBSIZE').value for wire in contest.client('a')]
        while sizes[0] != sizes[1] and time.monotonic() < deadline:
            sizes = [wire.call('DBSIZE').value for wire in contest.client('a')]
        assert sizes[0] == sizes[1]
