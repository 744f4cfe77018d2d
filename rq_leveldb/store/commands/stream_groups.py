"""Commands of the stream group that manage consumer groups, and XINFO."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from rq_leveldb.store.arguments import MAX_INTEGER, Options, integer
from rq_leveldb.store.commands.rows import container, row
from rq_leveldb.store.commands.stream_ids import entry_reply, id_reply, parse_id, range_start, range_stop
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import NULL_ARRAY, OK, Reply, ReplyError, no_such_key, shown, syntax_error, wrong_usage
from rq_leveldb.store.types.consumer_group import Consumer, Group
from rq_leveldb.store.types.stream import MAX_ID, MIN_ID, Stream, StreamId

_NODE_ENTRIES = 100
"""What XINFO tells of radix trees, which there are none of here, is what Redis would need with its default settings."""


def consumer_of(ctx: Context, group: Group, name: bytes) -> Consumer:
    """Return the consumer of that name, made if need be."""
    consumer = group.consumer(name)
    if consumer is None:
        consumer = group.add_consumer(name, ctx.now)
    consumer.seen = ctx.now
    return consumer


def known_group(ctx: Context, key: bytes, name: bytes, context: str = '') -> tuple[Stream, Group]:
    """Return a stream and a group of it.

    Args:
        ctx: the command's context.
        key: of the stream.
        name: of the group.
        context: what the error's text ends with.

    Raises:
        ReplyError: there is no such key or group.
    """
    stream = ctx.typed(key, Stream)
    group = None if stream is None else stream.group(name)
    if stream is None or group is None:
        raise ReplyError(f"NOGROUP No such key '{shown(key)}' or consumer group '{shown(name)}'{context}")
    return stream, group


# -- XGROUP


def _stream(ctx: Context, argv: list[bytes]) -> Stream:
    """Return the stream that a subcommand is about."""
    stream = ctx.typed(argv[2], Stream)
    if stream is not None:
        return stream
    if argv[0].lower() == b'xinfo':
        raise no_such_key()
    raise ReplyError(
        'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM '
        'option to create an empty stream automatically.'
    )


def _stream_and_group(ctx: Context, argv: list[bytes]) -> tuple[Stream, Group]:
    stream = _stream(ctx, argv)
    group = stream.group(argv[3])
    if group is None:
        raise ReplyError(f"NOGROUP No such consumer group '{shown(argv[3])}' for key name '{shown(argv[2])}'")
    return stream, group


def _group_options(argv: list[bytes], creating: bool) -> tuple[bool, int | None]:
    """Return MKSTREAM, and ENTRIESREAD if it was given and is not -1."""
    make = False
    read: int | None = None
    options = Options(argv, 5)
    for option in options:
        if creating and option == b'MKSTREAM':
            make = True
        elif option == b'ENTRIESREAD' and options.left():
            number = options.integer()
            if number < -1:
                raise ReplyError('ERR value for ENTRIESREAD must be positive or -1')
            read = None if number == -1 else number
        else:
            raise wrong_usage(argv)
    return make, read


def _xgroup_create(ctx: Context, argv: list[bytes]) -> Reply:
    make, read = _group_options(argv, creating=True)
    stream = ctx.typed_or_new(argv[2], Stream) if make else _stream(ctx, argv)
    if len(argv) > 8:
        raise wrong_usage(argv)
    last = stream.last if argv[4] == b'$' else parse_id(argv[4])
    if stream.group(argv[3]) is not None:
        raise ReplyError('BUSYGROUP Consumer Group name already exists')
    note = ctx.keys.changed if ctx.find(argv[2]) is None else ctx.keys.kept
    stream.create_group(argv[3], last, None if read is None else min(read, stream.added))
    note(stream)
    return OK


def _xgroup_setid(ctx: Context, argv: list[bytes]) -> Reply:
    _, read = _group_options(argv, creating=False)
    _stream(ctx, argv)
    if len(argv) > 7:
        raise wrong_usage(argv)
    stream, group = _stream_and_group(ctx, argv)
    group.last = stream.last if argv[4] == b'$' else range_start(argv[4])
    group.read = None if read is None else min(read, stream.added)
    group.save()
    ctx.keys.kept(stream)
    return OK


def _xgroup_destroy(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _stream(ctx, argv)
    group = stream.group(argv[3])
    if group is None:
        return 0
    group.destroy()
    ctx.keys.kept(stream)
    # Who waits in XREADGROUP has to learn it.
    ctx.keys.wake(ctx.db, argv[2])
    return 1


def _xgroup_createconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    stream, group = _stream_and_group(ctx, argv)
    if group.consumer(argv[4]) is not None:
        return 0
    group.add_consumer(argv[4], ctx.now)
    group.save()
    ctx.keys.kept(stream)
    return 1


def _xgroup_delconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    stream, group = _stream_and_group(ctx, argv)
    consumer = group.consumer(argv[4])
    if consumer is None:
        return 0
    pending = consumer.pending
    group.delete_consumer(consumer)
    group.save()
    ctx.keys.kept(stream)
    return pending


# -- acknowledging and claiming


def xack(ctx: Context, argv: list[bytes]) -> Reply:
    stream = ctx.typed(argv[1], Stream)
    group = None if stream is None else stream.group(argv[2])
    if stream is None or group is None:
        return 0
    ids = [parse_id(text) for text in argv[3:]]
    acknowledged = sum(map(group.acknowledge, ids))
    if acknowledged:
        group.save()
    return acknowledged


def xpending(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3:
        return _pending_summary(ctx, argv)
    if len(argv) < 6 or len(argv) > 9:
        raise syntax_error()
    at = 3
    idle = 0
    if argv[3].upper() == b'IDLE':
        idle = integer(argv[4])
        if len(argv) < 8:
            raise syntax_error()
        at = 5
    count = max(integer(argv[at + 2]), 0)
    start, stop = range_start(argv[at]), range_stop(argv[at + 1])
    name = argv[at + 3] if len(argv) > at + 3 else None
    _, group = known_group(ctx, argv[1], argv[2])
    if name is None:
        entries = group.entries(start, stop)
    else:
        consumer = group.consumer(name)
        if consumer is None:
            return []
        entries = group.entries_of(consumer, start, stop)
    timed = ((id_, pending, max(ctx.now - pending.delivered, 0)) for id_, pending in entries)
    found = ([id_reply(id_), one.consumer, passed, one.times] for id_, one, passed in timed if passed >= idle)
    return list(islice(found, count))


def _pending_summary(ctx: Context, argv: list[bytes]) -> Reply:
    _, group = known_group(ctx, argv[1], argv[2])
    first = next(group.entries(MIN_ID, MAX_ID), None)
    last = next(group.entries(MIN_ID, MAX_ID, reverse=True), None)
    if first is None or last is None:
        return [0, None, None, NULL_ARRAY]
    by_consumer: list[Reply] = [
        [consumer.name, b'%d' % consumer.pending] for consumer in group.consumers() if consumer.pending
    ]
    return [group.pending, id_reply(first[0]), id_reply(last[0]), by_consumer]


def xclaim(ctx: Context, argv: list[bytes]) -> Reply:
    stream, group = known_group(ctx, argv[1], argv[2])
    min_idle = max(integer(argv[4], 'ERR Invalid min-idle-time argument for XCLAIM'), 0)
    ids: list[StreamId] = []
    for argument in argv[5:]:
        try:
            ids.append(parse_id(argument))
        except ReplyError:
            break  # the first option
    options = _ClaimOptions.read(ctx, argv, 5 + len(ids))
    group.last = max(group.last, options.last)
    consumer = consumer_of(ctx, group, argv[3])
    reply: list[Reply] = []
    for id_ in ids:
        pending = group.pending_entry(id_)
        parts = stream.get(id_)
        if parts is None:
            if pending is not None:
                group.acknowledge(id_)
            continue
        if pending is None:
            if not options.force:
                continue
            times = 1
        else:
            if min_idle and ctx.now - pending.delivered < min_idle:
                continue
            times = pending.times
        if options.retries is not None:
            times = options.retries
        elif not options.just_id:
            times += 1
        group.deliver(id_, consumer, options.delivered, times)
        consumer.active = ctx.now
        reply.append(id_reply(id_) if options.just_id else [id_reply(id_), parts])
    group.save()
    return reply


@dataclass(slots=True)
class _ClaimOptions:
    """What XCLAIM is asked for.

    Attributes:
        delivered: Unix time in ms.
        retries: what the number of deliveries is set to, None to count on.
    """

    delivered: int
    retries: int | None = None
    force: bool = False
    just_id: bool = False
    last: StreamId = MIN_ID

    @classmethod
    def read(cls, ctx: Context, argv: list[bytes], at: int) -> _ClaimOptions:
        wanted = cls(ctx.now)
        options = Options(argv, at)
        for option in options:
            if option == b'FORCE':
                wanted.force = True
            elif option == b'JUSTID':
                wanted.just_id = True
            elif option in (b'IDLE', b'TIME', b'RETRYCOUNT') and options.left():
                given = integer(options.value(), f'ERR Invalid {option.decode()} option argument for XCLAIM')
                if option == b'RETRYCOUNT':
                    wanted.retries = None if given < 0 else given
                else:
                    when = ctx.now - given if option == b'IDLE' else given
                    wanted.delivered = when if 0 <= when <= ctx.now else ctx.now
            elif option == b'LASTID' and options.left():
                wanted.last = parse_id(options.value())
            else:
                raise ReplyError(f"ERR Unrecognized XCLAIM option '{shown(options.last())}'")
        return wanted


_ATTEMPTS = 10
"""Number of entries that XAUTOCLAIM examines for each one that it may claim."""


def _claimed_count(argument: bytes) -> int:
    count = integer(argument, 'ERR COUNT must be > 0')
    if not 0 < count <= MAX_INTEGER // 16:
        raise ReplyError('ERR COUNT must be > 0')
    return count


def xautoclaim(ctx: Context, argv: list[bytes]) -> Reply:
    min_idle = max(integer(argv[4], 'ERR Invalid min-idle-time argument for XAUTOCLAIM'), 0)
    start = range_start(argv[5])
    given = Options(argv, 6).all({b'COUNT': _claimed_count, b'JUSTID': None})
    count, just_id = given.get(b'COUNT', 100), b'JUSTID' in given
    stream, group = known_group(ctx, argv[1], argv[2])
    consumer = consumer_of(ctx, group, argv[3])
    claimed: list[Reply] = []
    deleted: list[Reply] = []
    entries = group.entries(start, MAX_ID)
    end = MIN_ID
    for looked_at, (id_, pending) in enumerate(entries):
        if looked_at >= count * _ATTEMPTS or len(claimed) + len(deleted) >= count:
            end = id_
            break
        parts = stream.get(id_)
        if parts is None:
            group.acknowledge(id_)
            deleted.append(id_reply(id_))
            continue
        if min_idle and ctx.now - pending.delivered < min_idle:
            continue
        group.deliver(id_, consumer, ctx.now, pending.times if just_id else pending.times + 1)
        consumer.active = ctx.now
        claimed.append(id_reply(id_) if just_id else [id_reply(id_), parts])
    group.save()
    return [id_reply(end), claimed, deleted]


# -- XINFO


def _lag(stream: Stream, group: Group) -> int | None:
    """Return how many entries the group has not read, or None if unknown."""
    first = stream.first_id()
    if first is None:
        return 0
    if group.last < first and stream.deleted < first:
        return len(stream)
    if group.read is not None and not stream.has_deletions_after(group.last):
        return stream.added - group.read
    read = stream.added_up_to(group.last)
    return None if read is None else stream.added - read


def _xinfo_stream(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _stream(ctx, argv)
    full = len(argv) > 3
    count = 10
    if full:
        if argv[3].upper() != b'FULL' or len(argv) not in (4, 6):
            raise wrong_usage(argv)
        if len(argv) == 6:
            if argv[4].upper() != b'COUNT':
                raise wrong_usage(argv)
            count = integer(argv[5])
            if count < 0:
                count = 10
    first = stream.first_id()
    nodes = (len(stream) + _NODE_ENTRIES - 1) // _NODE_ENTRIES
    reply: dict[bytes, Reply] = {
        b'length': len(stream),
        b'radix-tree-keys': nodes,
        b'radix-tree-nodes': nodes + 1,
        b'last-generated-id': id_reply(stream.last),
        b'max-deleted-entry-id': id_reply(stream.deleted),
        b'entries-added': stream.added,
        b'recorded-first-entry-id': id_reply(first or MIN_ID),
    }
    if full:
        entries = stream.range(MIN_ID, MAX_ID)
        reply[b'entries'] = [entry_reply(entry) for entry in (islice(entries, count) if count else entries)]
        reply[b'groups'] = [_full_group(stream, group, count) for group in stream.groups()]
    else:
        reply[b'groups'] = len(stream.groups())
        reply[b'first-entry'] = next(map(entry_reply, stream.range(MIN_ID, MAX_ID)), None)
        reply[b'last-entry'] = next(map(entry_reply, stream.range(MIN_ID, MAX_ID, reverse=True)), None)
    return reply


def _full_group(stream: Stream, group: Group, count: int) -> dict[bytes, Reply]:
    pending: list[Reply] = [
        [id_reply(id_), entry.consumer, entry.delivered, entry.times]
        for id_, entry in islice(group.entries(MIN_ID, MAX_ID), count or None)
    ]
    consumers: list[Reply] = [
        {
            b'name': consumer.name,
            b'seen-time': consumer.seen,
            b'active-time': -1 if consumer.active is None else consumer.active,
            b'pel-count': consumer.pending,
            b'pending': [
                [id_reply(id_), entry.delivered, entry.times]
                for id_, entry in islice(group.entries_of(consumer), count or None)
            ],
        }
        for consumer in group.consumers()
    ]
    return {
        b'name': group.name,
        b'last-delivered-id': id_reply(group.last),
        b'entries-read': group.read,
        b'lag': _lag(stream, group),
        b'pel-count': group.pending,
        b'pending': pending,
        b'consumers': consumers,
    }


def _xinfo_groups(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _stream(ctx, argv)
    return [
        {
            b'name': group.name,
            b'consumers': len(group.consumers()),
            b'pending': group.pending,
            b'last-delivered-id': id_reply(group.last),
            b'entries-read': group.read,
            b'lag': _lag(stream, group),
        }
        for group in stream.groups()
    ]


def _xinfo_consumers(ctx: Context, argv: list[bytes]) -> Reply:
    _, group = _stream_and_group(ctx, argv)
    return [
        {
            b'name': consumer.name,
            b'pending': consumer.pending,
            b'idle': max(ctx.now - consumer.seen, 0),
            b'inactive': -1 if consumer.active is None else max(ctx.now - consumer.active, 0),
        }
        for consumer in group.consumers()
    ]


COMMANDS = (
    container(
        'xgroup',
        row('create', _xgroup_create, -5, 'write denyoom', 2, 2, 1),
        row('setid', _xgroup_setid, -5, 'write', 2, 2, 1),
        row('destroy', _xgroup_destroy, 4, 'write', 2, 2, 1),
        row('createconsumer', _xgroup_createconsumer, 5, 'write denyoom', 2, 2, 1),
        row('delconsumer', _xgroup_delconsumer, 5, 'write', 2, 2, 1),
    ),
    row('xack', xack, -4, 'write fast', 1, 1, 1),
    row('xpending', xpending, -3, 'readonly', 1, 1, 1),
    row('xclaim', xclaim, -6, 'write fast', 1, 1, 1),
    row('xautoclaim', xautoclaim, -6, 'write fast', 1, 1, 1),
    container(
        'xinfo',
        row('stream', _xinfo_stream, -3, 'readonly', 2, 2, 1),
        row('groups', _xinfo_groups, 3, 'readonly', 2, 2, 1),
        row('consumers', _xinfo_consumers, 4, 'readonly', 2, 2, 1),
    ),
)
