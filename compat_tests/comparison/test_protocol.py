"""Whatever bytes one client sends, it gets what Redis says to them, and no other client notices."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat_tests.comparison.contest import Contest, Server
from compat_tests.comparison.wire import Reply, Wire, encode
from compat_tests.real_redis import RealRedis

PING = encode(['PING'])

STREAMS = {
    'inline': b'PING\r\n',
    'inline, newline alone': b'PING\nPING\n',
    'inline with blanks': b'   SET  a   1  \r\nGET a\r\n',
    'inline with quotes': b'SET "a b" \'c"d\'\r\nGET "a b"\r\nSET x "\\x41\\n\\"\\q"\r\nGET x\r\n',
    'inline, unbalanced double quotes': b'SET "a\r\nPING\r\n',
    'inline, unbalanced single quotes': b"SET 'a\r\nPING\r\n",
    'inline, closing quote inside a word': b'SET "a"b\r\nPING\r\n',
    'inline, empty quotes': b'SET a ""\r\nGET a\r\nSET b \'\'\r\nGET b\r\n',
    'empty lines': b'\r\n\r\n\nPING\r\n',
    'blanks only': b'   \r\nPING\r\n',
    'a long inline command': b'PING ' + b'x' * 70_000 + b'\r\n' + PING,
    'an inline command without an end': b'x' * 70_000,
    'array of nothing': b'*0\r\n' + PING,
    'negative array': b'*-1\r\n' + PING,
    'very negative array': b'*-10\r\n' + PING,
    'count that is no number': b'*x\r\n' + PING,
    'count without digits': b'*\r\n' + PING,
    'count with a sign': b'*+1\r\n$4\r\nPING\r\n',
    'count with blanks': b'* 1\r\n$4\r\nPING\r\n',
    'count above 32 bits': b'*4294967297\r\n' + PING,
    'count above 64 bits': b'*99999999999999999999\r\n' + PING,
    'endless count': b'*' + b'1' * 70_000,
    'large count, nothing follows': b'*1000000\r\n',
    'no bulk': b'*1\r\n+PING\r\n' + PING,
    'integer for a bulk': b'*1\r\n:1\r\n' + PING,
    'array in an array': b'*1\r\n*1\r\n$4\r\nPING\r\n',
    'null bulk': b'*1\r\n$-1\r\n' + PING,
    'negative bulk': b'*1\r\n$-5\r\n' + PING,
    'length that is no number': b'*1\r\n$abc\r\n' + PING,
    'length without digits': b'*1\r\n$\r\n' + PING,
    'length above the limit': b'*1\r\n$536870913\r\n' + PING,
    'largest 64-bit length': b'*1\r\n$9223372036854775807\r\n' + PING,
    'length above 64 bits': b'*1\r\n$99999999999999999999\r\n' + PING,
    'endless length': b'*1\r\n$' + b'1' * 70_000,
    'large length, nothing follows': b'*1\r\n$500000000\r\n',
    'empty command name': b'*1\r\n$0\r\n\r\n' + PING,
    'unfinished': b'*2\r\n$3\r\nGET\r\n$1\r\n',
    'unfinished header': b'*2',
    'good, then bad': PING + PING + b'*1\r\n!\r\n' + PING,
    'map of RESP3': b'%1\r\n$1\r\na\r\n$1\r\nb\r\n',
    'a reply': b'+OK\r\n',
    'high bytes': bytes(range(128, 256)) + b'\r\n' + PING,
    'a web form': b'POST / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n',
    'many in one packet': PING * 5000,
    'a transaction cut short': encode(['MULTI']) + encode(['SET', 'a', '1']),
    'quit in the middle': PING + encode(['QUIT']) + PING,
}

# Where Redis is no model: it reads an inline command only up to a null byte and then waits for more, answers a web
# browser depending on timing, and accepts an array of two thousand million elements.
REFUSED = {
    'count above the limit': b'*1048577\r\n' + PING,
    'largest 32-bit count': b'*2147483647\r\n' + PING,
    'a web browser': b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' + PING,
    'TLS': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(32) + b'\n',
}


def _answers(contest: Contest, data: bytes) -> list[bytes]:
    """Return what each server says to the bytes before it closes."""
    answers = []
    for wire in contest.client('raw'):
        wire.send_raw(data)
        answers.append(wire.read_to_end())
        wire.close()
    for wire in contest.client('a'):
        assert wire.call('PING') == Reply('+', b'PONG')
    return answers


@pytest.mark.parametrize('name', STREAMS)
def test_stream_of_bytes(name: str, model: RealRedis, store: Server) -> None:
    with Contest(model, store) as contest:
        theirs, ours = _answers(contest, STREAMS[name])
        assert ours == theirs
        contest.compare_contents()


@pytest.mark.parametrize('name', REFUSED)
def test_refused_stream_of_bytes(name: str, store: Server) -> None:
    wire = Wire(store.socket_path)
    wire.send_raw(REFUSED[name])
    answer = wire.read_to_end()
    assert answer.startswith(b'-ERR ')
    assert b'PONG' not in answer
    assert Wire(store.socket_path).call('PING') == Reply('+', b'PONG')


def test_bytes_that_come_one_by_one(model: RealRedis, store: Server) -> None:
    program = encode(['SET', 'k', b'\r\n$*\x00']) + b'GET k\r\n' + encode(['MGET', 'k', '']) + b'\r\nECHO "x"\r\n'
    replies = []
    for server in (model, store):
        wire = Wire(server.socket_path)
        for position in range(len(program)):
            wire.send_raw(program[position : position + 1])
        replies.append(wire.read_to_end())
        wire.close()
    assert replies[0] == replies[1]


def _differ_in_line_ends(data: bytes) -> bool:
    return data.count(b'\r') != data.count(b'\r\n')


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A pipeline of good commands in which some bytes were changed, left out or added."""
    commands = [['SET', 'a', 'x' * draw(st.integers(0, 20))], ['GET', 'a'], ['RPUSH', 'l', '1', '2'], ['PING']]
    data = bytearray(b''.join(encode(draw(st.sampled_from(commands))) for _ in range(draw(st.integers(1, 5)))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        new = draw(st.one_of(st.binary(max_size=3), st.sampled_from([b'', b'*', b'$', b'-1', b'\r', b'\n', b'999999'])))
        # A null byte ends an inline command for Redis.
        new = new.replace(b'\x00', b'\x01')
        data[at : at + draw(st.integers(0, 2))] = new
    return bytes(data)


def test_damaged_commands(model: RealRedis, store: Server) -> None:
    @given(damaged())
    def run(data: bytes) -> None:
        with Contest(model, store) as contest:
            theirs, ours = _answers(contest, data)
            # Redis looks for CR alone in headers and does not look at what follows a bulk string.
            before, refusal, _ = ours.partition(b'-ERR Protocol error')
            agree = ours == theirs or (refusal and theirs.startswith(before)) or _differ_in_line_ends(data)
            assert agree, (data, theirs, ours)

    run()


def test_noise_disturbs_nobody(store: Server) -> None:
    chance = random.Random(5)
    good = Wire(store.socket_path)
    good.call('SET', 'undisturbed', 1)
    noisy = [Wire(store.socket_path) for _ in range(20)]
    for round_number in range(20):
        for wire in noisy:
            wire.send_raw(chance.choice((b'*9\r\n$3\r\n', b'', b'SET ')) + chance.randbytes(chance.randrange(300)))
        assert good.call('INCR', 'undisturbed') == Reply(':', round_number + 2)
    for wire in noisy:
        wire.close()
    assert good.call('GET', 'undisturbed').value == b'21'
