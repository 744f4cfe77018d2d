"""Ids of streams as clients write and read them, and the errors about them."""

from __future__ import annotations

import re

from rq_leveldb.store.replies import Reply, ReplyError
from rq_leveldb.store.types.stream import MAX_ID, MAX_NUMBER, MIN_ID, Entry, StreamId, next_id, previous_id

_NUMBER = re.compile(rb'[ \t-\r]*\+?[0-9]{1,60}')


def invalid_id() -> ReplyError:
    return ReplyError('ERR Invalid stream ID specified as stream command argument')


# -- ids


def number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_NUMBER:
        raise invalid_id()
    return int(text)


def parse_id(text: bytes, missing_seq: int = 0) -> StreamId:
    """Read an id.

    Args:
        text: ``ms-seq`` or ``ms``.
        missing_seq: the sequence number of an id that is only milliseconds.
    """
    if len(text) > 127:
        raise invalid_id()
    ms, dash, seq = text.partition(b'-')
    return number(ms), number(seq) if dash else missing_seq


def bound(text: bytes, missing_seq: int) -> StreamId:
    """An id, or - or + for the first and the last."""
    if text == b'-':
        return MIN_ID
    if text == b'+':
        return MAX_ID
    return parse_id(text, missing_seq)


def range_start(text: bytes) -> StreamId:
    if text[:1] == b'(' and len(text) > 1:
        start = next_id(parse_id(text[1:]))
        if start is None:
            raise ReplyError('ERR invalid start ID for the interval')
        return start
    return bound(text, 0)


def range_stop(text: bytes) -> StreamId:
    if text[:1] == b'(' and len(text) > 1:
        stop = previous_id(parse_id(text[1:], MAX_NUMBER))
        if stop is None:
            raise ReplyError('ERR invalid end ID for the interval')
        return stop
    return bound(text, MAX_NUMBER)


def id_reply(id_: StreamId) -> bytes:
    return b'%d-%d' % id_


def entry_reply(entry: Entry) -> list[Reply]:
    return [b'%d-%d' % entry[0], entry[1]]
