"""However requests are cut into pieces, each is found as a whole, and no sooner; whatever is sent, nothing waits."""

from __future__ import annotations

import random

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.errors import NoMoreData, ParseException
from hypothesis import given, settings
from hypothesis import strategies as st

from rq_leveldb.http.problems import Problem
from rq_leveldb.http.serving.inbox import Inbox, Stage
from tests.http.nonsense import REQUESTS, mutate

CONFIG = Config()


class Reader:
    """Reads requests as the loop and its threads do."""

    def __init__(self) -> None:
        self.inbox = Inbox(1000)
        self.parser = get_parser(CONFIG, self.inbox, ('127.0.0.1', 1))
        self.bodies: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        self.inbox.feed(piece)
        while self.inbox.look() is Stage.WHOLE:
            request = next(self.parser)
            self.bodies.append(request.body.read())
            if not self.parser.finish_body():
                raise StopIteration
            self.inbox.begin_next(self.parser.unreader.take_buffered())


def sized(body: bytes) -> bytes:
    return b'POST /a HTTP/1.1\r\nHost: x\r\ncontent-length:  %d \r\n\r\n%b' % (len(body), body)


def chunked(body: bytes, size: int, end: bytes) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    text = b''.join(b'%x;a=b\r\n%b\r\n' % (len(chunk), chunk) for chunk in chunks)
    return b'POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n' % (text, end)


bodies = st.one_of(
    st.binary(max_size=200), st.lists(st.sampled_from([b'\r\n\r\n', b'0\r\n\r\n', b'5\r\n'])).map(b''.join)
)
requests = st.one_of(
    bodies.map(lambda body: (sized(body), body)),
    st.builds(
        lambda body, size, end: (chunked(body, size, end), body),
        bodies,
        st.integers(1, 50),
        st.sampled_from([b'', b'X: y\r\n', b'X: y\r\nZ: \r\n']),
    ),
    st.just((b'GET /c HTTP/1.1\r\nHost: x\r\n\r\n', b'')),
)


@settings(deadline=None)
@given(sent=st.lists(requests, min_size=1, max_size=4), cuts=st.lists(st.integers(1, 60), min_size=1))
def test_a_request_is_found_when_all_of_it_is_there(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b''.join(text for text, _ in sent)
    ends = [sum(len(text) for text, _ in sent[: number + 1]) for number in range(len(sent))]
    reader = Reader()
    at = turn = 0
    while at < len(data):
        piece = data[at : at + cuts[turn % len(cuts)]]
        reader.feed(piece)
        at += len(piece)
        turn += 1
        assert reader.bodies == [body for (_, body), end in zip(sent, ends, strict=True) if end <= at]


@pytest.mark.parametrize('seed', range(20))
def test_whatever_is_sent_nothing_waits_for_more(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        data = mutate(chance, chance.choice(REQUESTS))
        reader = Reader()
        try:
            for at in range(0, len(data), 37):
                reader.feed(data[at : at + 37])
            reader.feed(b'')
        except (Problem, ParseException, NoMoreData, StopIteration):
            # Refused, or less than it said: each ends the connection.
            continue
