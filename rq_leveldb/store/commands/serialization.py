"""DUMP and RESTORE, of the generic group: between a key's value and Redis's own serialization of it."""

from __future__ import annotations

from rq_leveldb.store.arguments import MAX_INTEGER, MIN_INTEGER, Options, integer
from rq_leveldb.store.commands.rows import row
from rq_leveldb.store.context import Context
from rq_leveldb.store.rdb import payload, values
from rq_leveldb.store.rdb.fault import BadPayload, ExpiringFields
from rq_leveldb.store.rdb.streams import ConsumerData, GroupData, StreamData
from rq_leveldb.store.rdb.writer import TooLarge, Writer
from rq_leveldb.store.replies import OK, Reply, ReplyError, syntax_error
from rq_leveldb.store.types.consumer_group import Group
from rq_leveldb.store.types.hash import Hash
from rq_leveldb.store.types.list import List
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import SortedSet, split
from rq_leveldb.store.types.stream import MAX_ID, MIN_ID, Stream
from rq_leveldb.store.types.string import String
from rq_leveldb.store.types.value import Value

MAX_PAYLOAD = 512 << 20
"""Bytes that one argument of RESTORE can have."""
MAX_MEMORY = MAX_PAYLOAD + (4 << 10)
"""Bytes of memory that a restored value may need before it is committed: one string of any length fits, or about two
million elements."""
_MAX_FREQUENCY = 255


def dump(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.find(argv[1])
    if value is None:
        return None
    writer = Writer(MAX_PAYLOAD)
    try:
        _write(writer, value)
    except TooLarge:
        raise ReplyError(
            f'ERR the value needs more than {MAX_PAYLOAD >> 20} MiB (proto-max-bulk-len): RESTORE could not take it'
        ) from None
    return payload.seal(writer.data)


def _write(writer: Writer, value: Value) -> None:
    if isinstance(value, String):
        values.write_string(writer, value.data)
    elif isinstance(value, List):
        values.write_list(writer, value.iterate(0, len(value)))
    elif isinstance(value, Set):
        values.write_set(writer, value)
    elif isinstance(value, Hash):
        values.write_hash(writer, value.items())
    elif isinstance(value, SortedSet):
        values.write_sorted_set(writer, map(split, value.entries(reverse=True)))
    elif isinstance(value, Stream):
        groups = [_group_data(group) for group in value.groups()]
        rest = StreamData([], value.last, value.deleted, value.added, groups)
        values.write_stream(writer, value.range(MIN_ID, MAX_ID), rest)


def _group_data(group: Group) -> GroupData:
    pending = {id_: (entry.delivered, entry.times) for id_, entry in group.entries(MIN_ID, MAX_ID)}
    consumers = [
        ConsumerData(one.name, one.seen, one.active, [id_ for id_, _ in group.entries_of(one)])
        for one in group.consumers()
    ]
    return GroupData(group.name, group.last, group.read, pending, consumers)


def restore(ctx: Context, argv: list[bytes]) -> Reply:
    replace, absolute = _restore_options(argv)
    if not replace and ctx.find(argv[1]) is not None:
        raise ReplyError('BUSYKEY Target key name already exists.')
    expire = integer(argv[2])
    if expire < 0:
        raise ReplyError('ERR Invalid TTL value, must be >= 0')
    try:
        data = payload.unseal(argv[3])
    except BadPayload:
        raise ReplyError('ERR DUMP payload version or checksum are wrong') from None
    try:
        content = values.read(data, MAX_MEMORY)
    except BadPayload:
        raise ReplyError('ERR Bad data format') from None
    except ExpiringFields:
        raise ReplyError('ERR Bad data format: fields of the hash expire, which this store does not support') from None
    if expire and not absolute:
        expire += ctx.now
    if expire > MAX_INTEGER:
        expire += 2 * MIN_INTEGER  # As in C: it lies in the past.
    if expire and expire <= ctx.now:
        ctx.delete(argv[1])
        return OK
    value = _build(ctx, content)
    value.expire = expire
    ctx.put(argv[1], value)
    return OK


def _restore_options(argv: list[bytes]) -> tuple[bool, bool]:
    """Return REPLACE and ABSTTL. There is nothing that IDLETIME and FREQ could be kept for."""
    replace = absolute = False
    hint = b''
    options = Options(argv, 4)
    for option in options:
        if option == b'REPLACE':
            replace = True
        elif option == b'ABSTTL':
            absolute = True
        elif option in (b'IDLETIME', b'FREQ') and hint in (b'', option) and options.left():
            hint = option
            number = options.integer()
            if option == b'IDLETIME' and number < 0:
                raise ReplyError('ERR Invalid IDLETIME value, must be >= 0')
            if option == b'FREQ' and not 0 <= number <= _MAX_FREQUENCY:
                raise ReplyError(f'ERR Invalid FREQ value, must be >= 0 and <= {_MAX_FREQUENCY}')
        else:
            raise syntax_error()
    return replace, absolute


def _build(ctx: Context, content: values.Content) -> Value:
    if isinstance(content, bytes):
        string = ctx.keys.new(String)
        string.data = content
        return string
    if isinstance(content, values.Members):
        members = ctx.keys.new(Set)
        for member in content:
            members.add(member)
        return members
    if isinstance(content, values.Fields):
        fields = ctx.keys.new(Hash)
        fields.set_many(list(content), list(content.values()))
        return fields
    if isinstance(content, values.Scores):
        scores = ctx.keys.new(SortedSet)
        for member, score in content.items():
            scores.set(member, score)
        return scores
    if isinstance(content, StreamData):
        return _build_stream(ctx, content)
    elements = ctx.keys.new(List)
    for element in content:
        elements.push(element)
    return elements


def _build_stream(ctx: Context, content: StreamData) -> Stream:
    stream = ctx.keys.new(Stream)
    for id_, parts in content.entries:
        stream.append(id_, parts)
    stream.last, stream.deleted, stream.added = content.last, content.deleted, content.added
    for one in content.groups:
        read = one.read if content.knows_read else stream.added_up_to(one.last)
        group = stream.create_group(one.name, one.last, read)
        for consumer_data in one.consumers:
            consumer = group.add_consumer(consumer_data.name, consumer_data.seen)
            consumer.active = consumer_data.active
            for id_ in consumer_data.pending:
                group.deliver(id_, consumer, *one.pending[id_])
        group.save()
    return stream


COMMANDS = (
    row('dump', dump, 2, 'readonly', 1, 1, 1),
    row('restore', restore, -4, 'write denyoom', 1, 1, 1),
)
