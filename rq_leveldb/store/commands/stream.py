"""Commands of the stream group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from rq_leveldb.store.arguments import Options, integer, milliseconds
from rq_leveldb.store.commands.members import length
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.commands.stream_groups import COMMANDS as GROUP_COMMANDS
from rq_leveldb.store.commands.stream_groups import consumer_of, known_group
from rq_leveldb.store.commands.stream_ids import entry_reply, id_reply, number, parse_id, range_start, range_stop
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import (
    MAX_WHOLE,
    NULL_ARRAY,
    OK,
    Pieces,
    Reply,
    ReplyError,
    no_such_key,
    syntax_error,
    wrong_arity,
)
from rq_leveldb.store.types.consumer_group import Group
from rq_leveldb.store.types.stream import MAX_ID, MAX_NUMBER, MIN_ID, Entry, Stream, StreamId, next_id

# -- XADD, XTRIM


_Trim = Callable[[Stream], int]
"""Trims a stream; returns how many entries were removed."""


def _read_trimming(ctx: Context, argv: list[bytes], adding: bool) -> tuple[_Trim | None, bool, int]:
    """Read the options of XADD, which end at the id, or all of XTRIM's.

    ``~`` lets Redis keep some more entries where that is cheaper. Here it never is, so it trims as ``=`` does, though
    with Redis's limit.

    Returns:
        How to trim, whether to make a stream, and the index of the first argument that is no option.
    """
    strategy = b''
    length = 0
    id_: StreamId | None = None
    limit: int | None = None
    approximate = False
    create = True
    at = len(argv)
    options = Options(argv, 2)
    for option in options:
        if option in (b'MAXLEN', b'MINID') and options.left():
            if strategy:
                raise ReplyError('ERR syntax error, MAXLEN and MINID options at the same time are not compatible')
            strategy = option
            approximate = False
            value = options.value()
            if value in (b'~', b'=') and options.left():
                approximate = value == b'~'
                value = options.value()
            if option == b'MAXLEN':
                length = integer(value)
                if length < 0:
                    raise ReplyError('ERR The MAXLEN argument must be >= 0.')
            else:
                id_ = parse_id(value)
        elif option == b'LIMIT' and options.left():
            limit = options.integer()
            if limit < 0:
                raise ReplyError('ERR The LIMIT argument must be >= 0.')
        elif adding and option == b'NOMKSTREAM':
            create = False
        elif option == b'KEEPREF':
            pass
        elif adding:
            at = len(argv) - options.left() - 1
            break
        else:
            raise syntax_error()
    if limit and not strategy:
        raise ReplyError('ERR syntax error, LIMIT cannot be used without specifying a trimming strategy')
    if not adding and not strategy:
        raise ReplyError('ERR syntax error, XTRIM must be called with a trimming strategy')
    if limit is not None and not approximate:
        raise ReplyError('ERR syntax error, LIMIT cannot be used without the special ~ option')
    if limit is None:
        limit = ctx.services.settings.layout.trimming_limit() if approximate else 0
    return partial(Stream.trim, length=length, below=id_, limit=limit) if strategy else None, create, at


def xadd(ctx: Context, argv: list[bytes]) -> Reply:
    trim, create, at = (None, True, 2) if argv[2] == b'*' else _read_trimming(ctx, argv, adding=True)
    # An id, and at least one pair.
    if len(argv) - at < 3 or (len(argv) - at) % 2 == 0:
        # Redis reads the id before it counts.
        if at < len(argv) and argv[at] != b'*':
            _new_id(argv[at])
        raise wrong_arity('xadd')
    wanted = None if argv[at] == b'*' else _new_id(argv[at])
    if wanted == MIN_ID:
        raise ReplyError('ERR The ID specified in XADD must be greater than 0-0')
    stream = ctx.typed_or_new(argv[1], Stream) if create else ctx.typed(argv[1], Stream)
    if stream is None:
        return None
    if stream.last == MAX_ID:
        raise ReplyError('ERR The stream has exhausted the last possible ID, unable to add more items')
    id_ = _next_free_id(ctx, stream) if wanted is None else _given_id(stream, *wanted)
    stream.append(id_, argv[at + 1 :])
    if trim is not None:
        trim(stream)
    ctx.keys.changed(stream)
    return b'%d-%d' % id_


def _new_id(text: bytes) -> tuple[int, int | None]:
    """Return milliseconds and sequence number, None for ``*``."""
    ms, dash, seq = text.partition(b'-')
    if dash and seq == b'*' and len(text) <= 127:
        return number(ms), None
    return parse_id(text)


def _next_free_id(ctx: Context, stream: Stream) -> StreamId:
    now = ctx.now
    if now > stream.last[0]:
        return now, 0
    id_ = next_id(stream.last)
    assert id_ is not None
    return id_


def _given_id(stream: Stream, ms: int, seq: int | None) -> StreamId:
    last_ms, last_seq = stream.last
    if seq is None:
        if ms == last_ms and (len(stream) or stream.last != MIN_ID or ms == 0):
            seq = last_seq + 1
            if seq > MAX_NUMBER:
                raise _too_small()
        else:
            seq = 0
    if (ms, seq) <= stream.last:
        raise _too_small()
    return ms, seq


def _too_small() -> ReplyError:
    return ReplyError('ERR The ID specified in XADD is equal or smaller than the target stream top item')


def xtrim(ctx: Context, argv: list[bytes]) -> Reply:
    trim, _, _ = _read_trimming(ctx, argv, adding=False)
    stream = ctx.typed(argv[1], Stream)
    if stream is None or trim is None:
        return 0
    return ctx.keys.changed_by(stream, trim(stream))


def xdel(ctx: Context, argv: list[bytes]) -> Reply:
    stream = ctx.typed(argv[1], Stream)
    if stream is None:
        return 0
    ids = [parse_id(text) for text in argv[2:]]
    return ctx.keys.changed_by(stream, sum(map(stream.delete, ids)))


def xsetid(ctx: Context, argv: list[bytes]) -> Reply:
    id_ = parse_id(argv[2])
    added: int | None = None
    deleted: StreamId | None = None
    options = Options(argv, 3)
    for option in options:
        if option == b'ENTRIESADDED':
            added = options.integer()
            if added < 0:
                raise ReplyError('ERR entries_added must be positive')
        elif option == b'MAXDELETEDID':
            deleted = parse_id(options.value())
            if id_ < deleted:
                raise ReplyError('ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id')
        else:
            raise syntax_error()
    stream = ctx.typed(argv[1], Stream)
    if stream is None:
        raise no_such_key()
    if id_ < stream.deleted:
        raise ReplyError('ERR The ID specified in XSETID is smaller than current max_deleted_entry_id')
    if len(stream):
        last = stream.last_entry()
        if last is not None and id_ < last[0]:
            raise ReplyError('ERR The ID specified in XSETID is smaller than the target stream top item')
        if added is not None and added < len(stream):
            raise ReplyError('ERR The entries_added specified in XSETID is smaller than the target stream length')
    stream.last = id_
    if added is not None:
        stream.added = added
    if deleted is not None and deleted != MIN_ID:
        stream.deleted = deleted
    ctx.keys.kept(stream)
    return OK


# -- XRANGE, XREAD


def _range(ctx: Context, argv: list[bytes], reverse: bool) -> Reply:
    first, last = (argv[3], argv[2]) if reverse else (argv[2], argv[3])
    start, stop = range_start(first), range_stop(last)
    count = -1
    for text in Options(argv, 4).values_of(b'COUNT'):
        count = max(integer(text), 0)
    stream = ctx.typed(argv[1], Stream)
    if stream is None:
        return []
    if count == 0:
        return NULL_ARRAY
    entries = stream.range(start, stop, reverse)
    if len(stream) > MAX_WHOLE and start == MIN_ID and stop == MAX_ID and not 0 < count <= MAX_WHOLE:
        size = len(stream) if count < 0 else min(count, len(stream))
        return Pieces(size, map(entry_reply, islice(entries, size)))
    return _entries_reply(entries, count)


def _entries_reply(entries: Iterator[Entry], count: int) -> list[Reply]:
    """Make the reply of the first of these entries.

    Args:
        entries: in the order of the reply.
        count: how many at most, not positive for all.
    """
    return [entry_reply(entry) for entry in (islice(entries, count) if count > 0 else entries)]


@dataclass(slots=True)
class _ReadOptions:
    """What XREAD and XREADGROUP are asked for.

    Attributes:
        count: how many entries at most, 0 for all.
        block: milliseconds, None not to wait.
    """

    count: int = 0
    block: int | None = None
    no_ack: bool = False
    group: bytes | None = None
    consumer: bytes = b''
    keys: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)


def _read_options(argv: list[bytes], command: str, now: int) -> _ReadOptions:
    wanted = _ReadOptions()
    with_group = command == 'xreadgroup'
    options = Options(argv, 1)
    for option in options:
        if option == b'BLOCK':
            wanted.block = milliseconds(options.value(), now)
        elif option == b'COUNT':
            wanted.count = max(options.integer(), 0)
        elif option == b'STREAMS' and options.left():
            rest = options.rest()
            if len(rest) % 2:
                each = "an ID or '>'" if with_group else "an ID, '+', or '$'"
                raise ReplyError(
                    f"ERR Unbalanced '{command}' list of streams: for each stream key {each} must be specified."
                )
            half = len(rest) // 2
            wanted.keys, wanted.ids = rest[:half], rest[half:]
            break
        elif (option == b'GROUP' and options.left() >= 2) or option == b'NOACK':
            if not with_group:
                raise ReplyError(
                    f'ERR The {option.decode()} option is only supported by XREADGROUP. You called XREAD instead.'
                )
            if option == b'NOACK':
                wanted.no_ack = True
            else:
                wanted.group, wanted.consumer = options.value(), options.value()
        else:
            raise syntax_error()
    else:
        raise syntax_error()
    if with_group and wanted.group is None:
        raise ReplyError('ERR Missing GROUP option for XREADGROUP')
    return wanted


def _streams_reply(ctx: Context, found: list[tuple[bytes, Reply]]) -> Reply:
    """Make the reply of the streams in which entries were found, None if there are none."""
    if not found:
        return None
    return dict(found) if ctx.resp3 else [list(pair) for pair in found]


def xread(ctx: Context, argv: list[bytes]) -> Reply:
    options = _read_options(argv, 'xread', ctx.now)
    after: list[StreamId] = []
    for key, text in zip(options.keys, options.ids, strict=True):
        stream = ctx.read(key, Stream)
        if text == b'>':
            raise ReplyError(
                'ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.'
            )
        after.append(stream.last if text in (b'$', b'+') else parse_id(text))

    def take(begins: bool = False) -> Reply:
        found: list[tuple[bytes, Reply]] = []
        for key, id_, text in zip(options.keys, after, options.ids, strict=True):
            stream = ctx.read(key, Stream)
            entries: list[Reply] = []
            if begins and text == b'+':
                last = stream.last_entry()
                entries = [] if last is None else [entry_reply(last)]
            elif stream.last > id_:
                entries = _entries_after(stream, id_, options.count)
            if entries:
                found.append((key, entries))
        return _streams_reply(ctx, found)

    reply = take(begins=True)
    if reply is not None:
        return reply
    if options.block is None:
        return NULL_ARRAY
    return ctx.block(options.keys, Stream, options.block / 1000, take, NULL_ARRAY)


def _entries_after(stream: Stream, id_: StreamId, count: int) -> list[Reply]:
    start = next_id(id_)
    return [] if start is None else _entries_reply(stream.range(start, MAX_ID), count)


# -- consumer groups


def xreadgroup(ctx: Context, argv: list[bytes]) -> Reply:
    options = _read_options(argv, 'xreadgroup', ctx.now)

    def stream_and_group(key: bytes) -> tuple[Stream, Group]:
        return known_group(ctx, key, options.group or b'', ' in XREADGROUP with GROUP option')

    after: list[StreamId] = []
    for key, text in zip(options.keys, options.ids, strict=True):
        stream_and_group(key)
        if text in (b'$', b'+'):
            shown = text.decode()
            raise ReplyError(
                f'ERR The {shown} ID is meaningless in the context of XREADGROUP: you want to read the history of this '
                f'consumer by specifying a proper ID, or use the > ID to get new messages. The {shown} ID would just '
                'return an empty result set.'
            )
        # To Redis the last possible id is another way to write >.
        after.append(MAX_ID if text == b'>' else parse_id(text))
    found: list[tuple[bytes, Reply]] = []
    for key, id_ in zip(options.keys, after, strict=True):
        stream, group = stream_and_group(key)
        if id_ != MAX_ID:
            found.append((key, _deliver_again(ctx, stream, group, options, id_)))
        elif entries := _deliver_new(ctx, stream, group, options):
            found.append((key, entries))
    if found:
        return _streams_reply(ctx, found)
    if options.block is None:
        return NULL_ARRAY

    def take() -> Reply:
        # Nothing is delivered before it is sure that all can be.
        read = {key: stream_and_group(key) for key in options.keys}
        found: list[tuple[bytes, Reply]] = []
        for key, (stream, group) in read.items():
            if stream.last > group.last and (entries := _deliver_new(ctx, stream, group, options)):
                found.append((key, entries))
        return _streams_reply(ctx, found)

    # That its group went away concerns a reader, whatever the key holds instead.
    return ctx.block(options.keys, None, options.block / 1000, take, NULL_ARRAY)


def _deliver_new(ctx: Context, stream: Stream, group: Group, options: _ReadOptions) -> list[Reply]:
    consumer = consumer_of(ctx, group, options.consumer)
    start = next_id(group.last)
    entries = [] if start is None else stream.range(start, MAX_ID)
    reply: list[Reply] = []
    for id_, parts in islice(entries, options.count) if options.count else entries:
        _advance(stream, group, id_)
        if not options.no_ack:
            group.deliver(id_, consumer, ctx.now, 1)
        reply.append([id_reply(id_), parts])
    if reply and not options.no_ack:
        consumer.active = ctx.now
    group.save()
    return reply


def _advance(stream: Stream, group: Group, id_: StreamId) -> None:
    """Let the group have read up to `id_`, the next entry behind what it has read."""
    first = stream.first_id()
    if (
        group.read is not None
        and first is not None
        and group.last >= first
        and not stream.has_deletions_after(group.last)
    ):
        group.read += 1
    elif stream.added:
        group.read = stream.added_up_to(id_)
    group.last = id_


def _deliver_again(ctx: Context, stream: Stream, group: Group, options: _ReadOptions, after: StreamId) -> list[Reply]:
    consumer = consumer_of(ctx, group, options.consumer)
    reply: list[Reply] = []
    start = next_id(after)
    entries = list(islice(group.entries_of(consumer, start), options.count or None)) if start is not None else []
    for id_, pending in entries:
        parts = stream.get(id_)
        reply.append([id_reply(id_), NULL_ARRAY if parts is None else parts])
        if parts is not None:
            group.deliver(id_, consumer, ctx.now, pending.times + 1)
    group.save()
    return reply


COMMANDS = (
    row('xadd', xadd, -5, 'write denyoom fast', 1, 1, 1),
    row('xtrim', xtrim, -4, 'write', 1, 1, 1),
    row('xlen', partial(length, Stream), 2, 'readonly fast', 1, 1, 1),
    row('xdel', xdel, -3, 'write fast', 1, 1, 1),
    row('xsetid', xsetid, -3, 'write denyoom fast', 1, 1, 1),
    row('xrange', partial(_range, reverse=False), -4, 'readonly', 1, 1, 1),
    row('xrevrange', partial(_range, reverse=True), -4, 'readonly', 1, 1, 1),
    row('xread', xread, -4, 'readonly blocking movablekeys'),
    row('xreadgroup', xreadgroup, -7, 'write blocking movablekeys'),
    *GROUP_COMMANDS,
)
