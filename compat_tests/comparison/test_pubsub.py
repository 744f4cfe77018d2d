"""Subscribers get the same messages in the same order."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat_tests.comparison.contest import Contest, Server, as_bytes
from compat_tests.comparison.wire import CLOSED, Reply, Wire
from compat_tests.real_redis import RealRedis

SUBSCRIBERS = 'pqr'
CHANNELS = ['news', 'news.a', 'n', '']
PATTERNS = ['news*', 'n?ws', '*', 'n[^e]*']
MARK = b'mark'

subscribing = st.one_of(
    st.builds(lambda names: ('SUBSCRIBE', *names), st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3)),
    st.builds(lambda names: ('UNSUBSCRIBE', *names), st.lists(st.sampled_from(CHANNELS), max_size=2)),
    st.builds(lambda names: ('PSUBSCRIBE', *names), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3)),
    st.builds(lambda names: ('PUNSUBSCRIBE', *names), st.lists(st.sampled_from(PATTERNS), max_size=2)),
    st.builds(lambda names: ('SSUBSCRIBE', *names), st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3)),
    st.builds(lambda names: ('SUNSUBSCRIBE', *names), st.lists(st.sampled_from(CHANNELS), max_size=2)),
    st.just(('GET', 'k')),
    st.just(('RESET',)),
)
publishing = st.one_of(
    st.builds(
        lambda name, text: ('PUBLISH', name, text), st.sampled_from(CHANNELS), st.sampled_from(['m', '', 'x\r\n'])
    ),
    st.builds(lambda name: ('SPUBLISH', name, 'm'), st.sampled_from(CHANNELS)),
    st.just(('PUBSUB', 'CHANNELS')),
    st.just(('PUBSUB', 'SHARDCHANNELS')),
    st.just(('PUBSUB', 'SHARDNUMSUB', *CHANNELS)),
    st.just(('PUBSUB', 'NUMPAT')),
    st.just(('PUBSUB', 'NUMSUB', *CHANNELS)),
    st.just(('EVAL', "return redis.call('PUBLISH', 'news', 'from a script')", 0)),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(SUBSCRIBERS), subscribing),
        st.tuples(st.just('a'), publishing),
        st.tuples(st.just('m'), publishing),
    ),
    max_size=40,
)


def _received(wire: Wire) -> list[object]:
    """Return all that came for a subscriber, in order where there is one."""
    wire.send('PING', MARK)
    got: list[Reply] = []
    while not _is_mark(reply := wire.read()):
        got.append(reply)
        if reply == CLOSED:
            break
    return [*_ordered(got), reply.kind]


def _is_mark(reply: Reply) -> bool:
    if isinstance(reply.value, list):
        return len(reply.value) == 2 and isinstance(reply.value[1], Reply) and reply.value[1].value == MARK
    return bool(reply.value == MARK)


def _ordered(replies: list[Reply]) -> list[object]:
    farewells = [reply for reply in replies if _farewell(reply)]
    names = sorted(repr(reply.value[:2]) for reply in farewells)
    counts = [reply.value[2] for reply in farewells]
    others = [reply for reply in replies if not _farewell(reply)]
    # Several patterns that fit one message have no order among each other.
    runs = [sorted(run, key=repr) if by_pattern else list(run) for by_pattern, run in groupby(others, _by_pattern)]
    return [*runs, names, counts]


def _by_pattern(reply: Reply) -> bool:
    return isinstance(reply.value, list) and bool(reply.value) and reply.value[0].value == b'pmessage'


def _farewell(reply: Reply) -> bool:
    return (
        isinstance(reply.value, list)
        and bool(reply.value)
        and reply.value[0].value in (b'unsubscribe', b'punsubscribe', b'sunsubscribe')
    )


@pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])
def test_subscribers_get_the_same(protocol: int, model: RealRedis, store: Server) -> None:
    @given(steps)
    def run(program: list[tuple[str, tuple[object, ...]]]) -> None:
        with Contest(model, store, protocol) as contest:
            for name, command in program:
                if name in SUBSCRIBERS:
                    contest.history.append(f'{name}: {command}')
                    for wire in contest.client(name):
                        wire.send(*as_bytes(command))
                    if command == ('RESET',):
                        _expect_same(contest, name)
                        for wire in contest.client(name):
                            wire.call('HELLO', protocol)
                elif name == 'm' and command[0] in ('PUBLISH', 'SPUBLISH'):
                    contest.send('a', 'MULTI')
                    contest.send('a', *command)
                    contest.send('a', *command)
                    contest.send('a', 'EXEC')
                else:
                    contest.send('a', *command)
                for subscriber in SUBSCRIBERS:
                    _expect_same(contest, subscriber)

    run()


def _expect_same(contest: Contest, name: str) -> None:
    theirs, ours = (_received(wire) for wire in contest.client(name))
    assert theirs == ours, f'{name} got\n' + contest.complaint(theirs, ours)
