"""Clients that wait for keys are served the same values in the same order, and time out alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compat_tests.comparison.contest import Contest, Server, as_bytes, shown
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis

# A difference is made as small as it gets before it is shown, for up to five minutes.
pytestmark = pytest.mark.timeout(400)

WAITERS = 'pqrs'
GROUP_READ = 'XREADGROUP GROUP g c BLOCK 0 STREAMS x1 >'
KEYS = [b'l1', b'l2', b'z1', b'x1']
BLOCKING = [
    'BLPOP l1 0',
    'BLPOP l1 l2 0',
    'BRPOP l2 l1 0',
    'BLMOVE l1 l2 LEFT RIGHT 0',
    'BLMOVE l2 l1 RIGHT LEFT 0',
    'BLMOVE l1 l1 LEFT RIGHT 0',
    'BRPOPLPUSH l1 l2 0',
    'BLMPOP 0 2 l1 l2 LEFT COUNT 2',
    'BLMOVE l1 z1 LEFT LEFT 0',
    'BLMPOP 0 2 l2 z1 RIGHT',
    'BZPOPMIN z1 l1 0',
    'BZPOPMIN z1 0',
    'BZPOPMAX z1 0',
    'BZMPOP 0 1 z1 MIN COUNT 2',
    'XREAD BLOCK 0 STREAMS x1 $',
    'XREAD BLOCK 0 STREAMS x1 5-5',
    GROUP_READ,
    'XREAD BLOCK 0 STREAMS x1 x2 $ $',
    'XREADGROUP GROUP g d BLOCK 0 STREAMS x1 x2 > >',
    'XREADGROUP GROUP g d BLOCK 0 STREAMS x1 18446744073709551615-18446744073709551615',
    'MULTI; BLPOP l1 0; EXEC',
]
ACTING = [
    'RPUSH l1 a',
    'RPUSH l1 a b c',
    'LPUSH l1 a b',
    'RPUSH l2 a',
    'LPUSH l2 x y',
    'LPOP l1',
    'RPOP l2',
    'LMOVE l1 l2 LEFT LEFT',
    'LMOVE l2 l1 LEFT LEFT',
    'RENAME l2 l1',
    'COPY l2 l1 REPLACE',
    'DEL l1 l2',
    'DEL z1',
    'SET l1 x',
    'SADD l1 x',
    'ZADD z1 1 a',
    'ZADD z1 1 a 2 b 3 c',
    'ZINCRBY z1 5 d',
    'ZUNIONSTORE z1 1 z2',
    'ZADD z2 1 q 2 r',
    'XADD x1 * a 1',
    'DEL x1',
    'XGROUP CREATE x1 g $ MKSTREAM',
    'XGROUP DESTROY x1 g',
    'XGROUP CREATE x2 g $ MKSTREAM',
    'XGROUP SETID x1 g 0',
    'XGROUP DELCONSUMER x1 g c',
    'XSETID x1 9999999999999-1',
    'MULTI; XADD x2 * a 1; XADD x1 * a 1; EXEC',
    'MULTI; XADD x1 * a 1; DEL x2; EXEC',
    'FLUSHALL',
    'SET x1 str',
    'SET x2 str',
    'SET l2 str',
    'MULTI; XADD x1 * a 1; SET x2 str; EXEC',
    'MULTI; RPUSH l1 a; RPUSH l2 b; EXEC',
    'MULTI; RPUSH l1 a; DEL l1; EXEC',
    'MULTI; RPUSH l1 a; LPOP l1; RPUSH l1 b; EXEC',
    "EVAL return{redis.call('RPUSH','l1','e','f'),redis.call('ZADD','z1',1,'e')} 0",
    'FLUSHDB',
    'SWAPDB 0 1',
    'SORT l2 ALPHA STORE l1',
    'LTRIM l1 1 0',
    'EXPIRE l1 0',
]


def commands_of(text: str) -> list[tuple[bytes, ...]]:
    """Return the commands of a line that is split at ``; `` and blanks."""
    return [as_bytes(part.split(' ')) for part in text.split('; ')]


class Waiting:
    """Clients of both servers, some of which wait; tells who was answered after every step."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest
        self._waiting: set[str] = set()

    def wait(self, name: str, text: str) -> None:
        """Have a client send a command that may block; it counts as waiting until a reply came."""
        if name in self._waiting:
            return
        commands = commands_of(text)
        self._contest.history.append(f'{name}: {text}')
        for wire in self._contest.client(name):
            # The PING before it tells that the server has read all of it.
            wire.send_raw(b''.join(map(_encoded, [(b'PING',), *commands])))
            assert wire.read() == Reply('+', b'PONG')
        self._waiting.add(name)
        self.settle()

    def act(self, text: str) -> None:
        """Have the client that never blocks send commands."""
        for command in commands_of(text):
            self._contest.send('a', *command)
        self.settle()

    def settle(self) -> None:
        """Compare who was answered, and with what.

        Raises:
            AssertionError: if it is not the same on both.
        """
        for wire in self._contest.client('a'):
            assert wire.call('PING') == Reply('+', b'PONG')
        for name in sorted(self._waiting):
            theirs, ours = self._contest.client(name)
            expected = theirs.read_pending()
            if not expected:
                continue
            if not _closed(expected):
                self._waiting.discard(name)
            got = [ours.read() if ours.pending(5) else None for _ in expected]
            assert _same(expected, got), f'{name} got\n' + self._contest.complaint(expected, got)
        for name in sorted(self._waiting):
            surplus = self._contest.client(name)[1].read_pending()
            assert not surplus, f'{name} should wait\n' + self._contest.complaint([], surplus)

    def release(self) -> None:
        """Give everybody something, so that nobody waits at the end."""
        self._contest.history.append('(end)')
        for wire in self._contest.client('a'):
            wire.call('FLUSHALL')


def _encoded(command: tuple[bytes, ...]) -> bytes:
    return b'*%d\r\n' % len(command) + b''.join(b'$%d\r\n%s\r\n' % (len(word), word) for word in command)


def _closed(replies: list[Reply]) -> bool:
    # MULTI, QUEUED and then nothing yet: the client still waits for EXEC's reply.
    return bool(replies) and replies[-1] == Reply('+', b'QUEUED')


def _same(theirs: list[Reply], ours: list[Reply | None]) -> bool:
    return [_without_clock(reply) for reply in theirs] == [_without_clock(reply) for reply in ours]


def _without_clock(reply: Reply | None) -> object:
    """A reply in which ids of stream entries that the server chose are left out."""
    if reply is None:
        return None
    if isinstance(reply.value, list):
        return reply.kind, [
            _without_clock(item) if isinstance(item, Reply) else tuple(map(_without_clock, item))
            for item in reply.value
        ]
    if isinstance(reply.value, bytes) and len(reply.value) > 13 and reply.value[13:14] == b'-':
        return reply.kind, 'an id'
    return reply


@contextmanager
def waiting(model: RealRedis, store: Server, protocol: int) -> Iterator[Waiting]:
    """Clients of both servers on empty databases."""
    with Contest(model, store, protocol) as contest:
        yield Waiting(contest)


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(WAITERS), st.sampled_from(BLOCKING)), st.tuples(st.just('a'), st.sampled_from(ACTING))
    ),
    min_size=4,
    max_size=30,
)


@pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])
def test_waiting_clients_are_served_alike(protocol: int, model: RealRedis, store: Server) -> None:
    # A client is served as if it asked anew: an earlier key that came to hold something else is an error.
    @example([('p', 'BLPOP l1 l2 0'), ('a', 'SET l1 str'), ('a', 'RPUSH l2 a')])
    # It is served for the key that changed: what another one holds now goes to those who wait longer for that.
    @example([('p', 'BLMOVE l2 l1 RIGHT LEFT 0'), ('q', 'BLPOP l1 0'), ('r', 'BLPOP l1 l2 0'), ('a', 'RPUSH l2 a')])
    @example([('p', 'XREAD BLOCK 0 STREAMS x1 x2 $ $'), ('a', 'SET x2 str'), ('a', 'XADD x1 * a 1')])
    @example(
        [('a', 'XGROUP CREATE x1 g $ MKSTREAM'), ('p', GROUP_READ.replace('x1 >', 'x1 x1 > >')), ('a', 'XADD x1 * a 1')]
    )
    # All streams that hold something new are read; SETID wakes nobody; a group may go with its whole database.
    @example([('p', 'XREAD BLOCK 0 STREAMS x1 x2 $ $'), ('a', 'MULTI; XADD x2 * a 1; XADD x1 * a 1; EXEC')])
    @example([('a', 'XADD x1 * a 1'), ('a', 'XGROUP CREATE x1 g $'), ('p', GROUP_READ), ('a', 'XGROUP SETID x1 g 0')])
    @example([('a', 'XGROUP CREATE x1 g $ MKSTREAM'), ('p', GROUP_READ), ('a', 'FLUSHALL')])
    @example([('a', 'XGROUP CREATE x1 g $ MKSTREAM'), ('p', GROUP_READ), ('a', 'FLUSHDB')])
    @example([('a', 'XGROUP CREATE x1 g $ MKSTREAM'), ('p', GROUP_READ), ('a', 'SWAPDB 0 1')])
    @example([('p', 'BZPOPMIN z1 z2 0'), ('a', 'SET z1 str'), ('a', 'ZADD z2 1 a')])
    @given(steps)
    def run(program: list[tuple[str, str]]) -> None:
        with waiting(model, store, protocol) as clients:
            for name, text in program:
                if name == 'a':
                    clients.act(text)
                else:
                    clients.wait(name, text)
            clients.release()

    run()


@pytest.mark.parametrize(
    'text',
    [
        'BLPOP l1 0.05',
        'BRPOP l1 l2 0.05',
        'BLMOVE l1 l2 LEFT RIGHT 0.05',
        'BRPOPLPUSH l1 l2 0.05',
        'BLMPOP 0.05 1 l1 LEFT',
        'BZPOPMIN z1 0.05',
        'BZMPOP 0.05 1 z1 MIN',
        'XREAD BLOCK 50 STREAMS x1 $',
    ],
)
@pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])
def test_waiting_ends_with_the_same_null(text: str, protocol: int, model: RealRedis, store: Server) -> None:
    (command,) = commands_of(text)
    with Contest(model, store, protocol) as contest:
        replies = []
        for wire in contest.client('a'):
            begun = time.monotonic()
            replies.append(wire.call(*command))
            assert 0.04 <= time.monotonic() - begun < 2, shown(command)
        assert replies[0] == replies[1]


def test_a_client_that_went_away_takes_nothing(model: RealRedis, store: Server) -> None:
    with Contest(model, store) as contest:
        for wire in contest.client('p'):
            wire.send_raw(b'PING\r\nBLPOP l1 0\r\n')
            assert wire.read() == Reply('+', b'PONG')
            wire.close()
        contest.send('a', 'RPUSH', 'l1', 'x')
        contest.send('a', 'LRANGE', 'l1', 0, -1)


def test_unblocked_by_another_client(model: RealRedis, store: Server) -> None:
    with Contest(model, store) as contest:
        for how in ('TIMEOUT', 'ERROR'):
            replies = []
            for waiter, other in zip(contest.client('p'), contest.client('a'), strict=True):
                number = waiter.call('CLIENT', 'ID').value
                waiter.send('BLPOP', 'l1', 0)
                _until_unblocked(other, number, how)
                replies.append(waiter.read())
            assert replies[0] == replies[1]


def _until_unblocked(wire: Wire, number: int, how: str) -> None:
    deadline = time.monotonic() + 10
    while wire.call('CLIENT', 'UNBLOCK', number, how).value != 1:
        assert time.monotonic() < deadline
