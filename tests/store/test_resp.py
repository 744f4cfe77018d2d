"""The protocol, fed with bytes: every way of cutting the input gives the same commands."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rq_leveldb.store import replies
from rq_leveldb.store.resp import Parser, ProtocolError, encode, encode_pieces, split_inline

arguments = st.lists(
    st.binary(max_size=40) | st.sampled_from([b'\r\n', b'*1\r\n$1\r\na\r\n', b'$3']), min_size=1, max_size=6
)


def packed(argv: list[bytes]) -> bytes:
    return b'*%d\r\n' % len(argv) + b''.join(b'$%d\r\n%b\r\n' % (len(item), item) for item in argv)


@given(st.lists(arguments, min_size=1, max_size=5), st.lists(st.integers(0, 400), max_size=8))
def test_commands_arrive_whole_however_they_were_cut(commands: list[list[bytes]], cuts: list[int]) -> None:
    data = b''.join(map(packed, commands))
    parser = Parser()
    found = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        found += parser.feed(data[start:end])
    assert found == commands
    assert parser.buffered() == 0


@given(arguments)
def test_one_byte_at_a_time(argv: list[bytes]) -> None:
    parser = Parser()
    found = [command for byte in packed(argv) for command in parser.feed(bytes((byte,)))]
    assert found == [argv]


@pytest.mark.parametrize('size', [1, 7, 100, 1000, 1 << 20])
@pytest.mark.parametrize('every', [1, 2, 30])
def test_a_long_pipeline_with_line_ends_in_some_arguments(size: int, every: int) -> None:
    """Where those begin and end has to be found, and what is between them still goes the quick way."""
    commands = [
        [b'HSET', b'key%d' % number, b'data', b'a\r\n$3\r\nb\r\n' if number % every == 0 else b'b' * (number % 50)]
        for number in range(300)
    ] + [[b'DEL', *(b'%d' % number for number in range(1000))]]
    data = b''.join(map(packed, commands))
    parser = Parser()
    found = []
    for start in range(0, len(data), size):
        found += parser.feed(data[start : start + size])
    assert found == commands
    assert parser.buffered() == 0


def test_a_long_argument_is_collected_in_parts() -> None:
    value = bytes(range(256)) * 4096
    data = packed([b'SET', b'k', value])
    parser = Parser()
    found = []
    for start in range(0, len(data), 65536):
        found += parser.feed(data[start : start + 65536])
    assert found == [[b'SET', b'k', value]]


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_parse_or_fail_as_the_protocol_says(data: bytes) -> None:
    try:
        commands = Parser().feed(data)
    except ProtocolError as error:
        commands = error.args[1]
    assert all(commands)
    assert all(type(item) is bytes for command in commands for item in command)


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (b'*2147483648\r\n', 'invalid multibulk length'),
        (b'*a\r\n', 'invalid multibulk length'),
        (b'*1\r\n$-5\r\n', 'invalid bulk length'),
        (b'*1\r\n$9223372036854775807\r\n', 'invalid bulk length'),
        (b'*1\r\n$99999999999999999999999\r\n', 'invalid bulk length'),
        (b'*1\r\n:5\r\n', "expected '$', got ':'"),
        (b'*1\r\n$2\r\nabcdef\r\n', 'does not end where its length says'),
        (b'set "a\r\n', 'unbalanced quotes'),
        (b'a' * 70000, 'too big inline request'),
        (b'*' + b'1' * 70000, 'too big mbulk count string'),
    ],
)
def test_what_is_no_command_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match='ERR Protocol error') as caught:
        Parser().feed(data)
    assert words in caught.value.args[0]


def test_commands_before_a_fault_are_not_lost() -> None:
    with pytest.raises(ProtocolError) as caught:
        Parser().feed(packed([b'PING']) + b'*1\r\n:1\r\n')
    assert caught.value.args[1] == [[b'PING']]


def test_lines_as_typed() -> None:
    assert split_inline(b"set  key \"a b\\x41\\n\" 'it\\'s'") == [b'set', b'key', b'a bA\n', b"it's"]
    assert Parser().feed(b'PING\r\n\r\nGET a\n') == [[b'PING'], [b'GET', b'a']]


@pytest.mark.parametrize(
    ('reply', 'two', 'three'),
    [
        (b'a\r\nb', b'$4\r\na\r\nb\r\n', b'$4\r\na\r\nb\r\n'),
        (-7, b':-7\r\n', b':-7\r\n'),
        (None, b'$-1\r\n', b'_\r\n'),
        (replies.NULL_ARRAY, b'*-1\r\n', b'_\r\n'),
        (replies.OK, b'+OK\r\n', b'+OK\r\n'),
        (1.5, b'$3\r\n1.5\r\n', b',1.5\r\n'),
        (float('inf'), b'$3\r\ninf\r\n', b',inf\r\n'),
        ([b'a', 1, None], b'*3\r\n$1\r\na\r\n:1\r\n$-1\r\n', b'*3\r\n$1\r\na\r\n:1\r\n_\r\n'),
        ({b'a': 1}, b'*2\r\n$1\r\na\r\n:1\r\n', b'%1\r\n$1\r\na\r\n:1\r\n'),
        (replies.SetReply([b'a']), b'*1\r\n$1\r\na\r\n', b'~1\r\n$1\r\na\r\n'),
        (replies.Push([b'a']), b'*1\r\n$1\r\na\r\n', b'>1\r\n$1\r\na\r\n'),
        (replies.Verbatim(b'hi'), b'$2\r\nhi\r\n', b'=6\r\ntxt:hi\r\n'),
        (replies.ReplyError('ERR no\r\nline ends'), b'-ERR no  line ends\r\n', b'-ERR no  line ends\r\n'),
    ],
)
def test_replies_in_both_protocols(reply: replies.Reply, two: bytes, three: bytes) -> None:
    assert encode(reply, resp3=False) == two
    assert encode(reply, resp3=True) == three


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b'x' * 4095, b'x' * 4096, b'\r\n', 7, None, [b'a'] * 9]), max_size=24
    )
)
def test_a_list_is_read_as_it_was_whatever_is_in_it(items: list[Any]) -> None:
    whole = b'*%d\r\n' % len(items) + b''.join(encode(item, resp3=True) for item in items)
    assert encode(items, resp3=True) == whole
    assert b''.join(encode_pieces(replies.Pieces(len(items), iter(items)), resp3=True)) == whole
    pairs = {b'%d' % number: item for number, item in enumerate(items)}
    reader = hiredis.Reader()
    reader.feed(whole + encode(pairs, resp3=True))
    assert [reader.gets(), reader.gets()] == [items, pairs]


def test_a_reply_in_pieces_equals_the_whole() -> None:
    items = [b'%d' % number for number in range(2000)]
    pieces = list(encode_pieces(replies.Pieces(2000, iter(items)), resp3=True))
    assert len(pieces) > 2
    assert b''.join(pieces) == encode(items, resp3=True)
