"""When two replies to the same command agree: equal, but for what Redis itself leaves open, per command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compat_tests.catalogue import help_entries
from compat_tests.comparison.wire import Reply

Command = Sequence[bytes]
Judge = Callable[[Reply, Reply], bool]

# Milliseconds that may lie between the same moment on the two servers.
SLACK_MS = 3000


def equal(theirs: Reply, ours: Reply) -> bool:
    """Every byte of it."""
    return theirs == ours


def in_any_order(theirs: Reply, ours: Reply) -> bool:
    """Elements without an order: those of a set, a hash's fields, the names of keys."""
    if not isinstance(theirs.value, list) or not isinstance(ours.value, list):
        return theirs == ours
    return theirs.kind == ours.kind and sorted(map(repr, theirs.value)) == sorted(map(repr, ours.value))


def pairs_in_any_order(theirs: Reply, ours: Reply) -> bool:
    """A flat array of names and values in RESP2, a map in RESP3."""
    if theirs.kind != '*' or ours.kind != '*' or theirs.value is None or ours.value is None:
        return in_any_order(theirs, ours)
    return _paired(theirs.value) == _paired(ours.value)


def _paired(flat: list[Reply]) -> list[str]:
    if len(flat) % 2:
        return sorted(map(repr, flat))
    return sorted(repr(pair) for pair in zip(flat[::2], flat[1::2], strict=True))


def scan_in_any_order(theirs: Reply, ours: Reply) -> bool:
    """A cursor and elements."""
    return _same_scan(theirs, ours, in_any_order)


def hscan_in_any_order(theirs: Reply, ours: Reply) -> bool:
    """A cursor and pairs."""
    return _same_scan(theirs, ours, pairs_in_any_order)


def _same_scan(theirs: Reply, ours: Reply, same: Judge) -> bool:
    if theirs.kind != '*' or ours.kind != '*':
        return theirs == ours
    if theirs.value[0] != ours.value[0]:
        # How much a step gives is left to the server: it goes by buckets, and what has expired there counts as well.
        # `Contest` goes on to the end where it can, so this is a step inside of EXEC or a script.
        return bool(theirs.value[1].kind == ours.value[1].kind)
    return same(theirs.value[1], ours.value[1])


CURSORS = {b'SCAN': 1, b'HSCAN': 2, b'SSCAN': 2, b'ZSCAN': 2}
"""Where in each of them the cursor stands."""


def within(slack: int) -> Judge:
    """Positive numbers that differ by no more than ``slack``; anything else is equal or not."""

    def judge(theirs: Reply, ours: Reply) -> bool:
        if theirs.kind == ours.kind == ':' and theirs.value > 0 and ours.value > 0:
            return bool(abs(theirs.value - ours.value) <= slack)
        return theirs == ours

    return judge


def same_kind(theirs: Reply, ours: Reply) -> bool:
    """Only the type: the value is one server's own, or chance."""
    if '-' in (theirs.kind, ours.kind):
        return theirs == ours
    return theirs.kind == ours.kind and (theirs.value is None) == (ours.value is None)


def same_size(theirs: Reply, ours: Reply) -> bool:
    """The type, and for arrays the number of elements: which ones is chance."""
    if isinstance(theirs.value, list) and isinstance(ours.value, list):
        return theirs.kind == ours.kind and len(theirs.value) == len(ours.value)
    return same_kind(theirs, ours)


def without(*names: bytes) -> Judge:
    """Name-value replies, nested or not, without some names: what tells of time or of how a server is built."""

    def strip(reply: Reply) -> Reply:
        if reply.kind == '%':
            return Reply('%', [(name, strip(value)) for name, value in reply.value if name.value not in names])
        if reply.kind == '*' and reply.value and len(reply.value) % 2 == 0 and reply.value[0].kind == '$':
            kept = [
                [name, strip(value)]
                for name, value in zip(reply.value[::2], reply.value[1::2], strict=True)
                if name.value not in names
            ]
            return Reply('*', [item for pair in kept for item in pair])
        if reply.kind == '*' and reply.value:
            return Reply('*', [strip(item) for item in reply.value])
        return reply

    return lambda theirs, ours: strip(theirs) == strip(ours)


def role_without_offset(theirs: Reply, ours: Reply) -> bool:
    """ROLE's second element counts what went to replicas, which depends on what ran before."""

    def strip(reply: Reply) -> Reply:
        if reply.kind == '*' and len(reply.value) == 3:
            role, offset, replicas = reply.value
            return Reply('*', [role, offset.kind, replicas])
        return reply

    return strip(theirs) == strip(ours)


def pending_without_idle(theirs: Reply, ours: Reply) -> bool:
    """XPENDING's long form: every entry has the milliseconds since its delivery in third place."""

    def strip(reply: Reply) -> Reply:
        if reply.kind == '*' and reply.value and all(item.kind == '*' and item.value for item in reply.value):
            rows = [item.value for item in reply.value]
            return Reply('*', [Reply('*', row[:2] + row[3:]) if len(row) == 4 else Reply('*', row) for row in rows])
        return reply

    return strip(theirs) == strip(ours)


def same_help(theirs: Reply, ours: Reply) -> bool:
    """HELP: the subcommands, how they are called and their options. What is said about them is each server's own."""
    lines = [*theirs.value, *ours.value] if theirs.kind == ours.kind == '*' else []
    if not lines or any(line.kind != '+' for line in lines):
        return theirs == ours
    entries, our_entries = (help_entries([line.value.decode() for line in reply.value]) for reply in (theirs, ours))
    return entries == our_entries


_XINFO = without(
    b'radix-tree-keys',
    b'radix-tree-nodes',
    b'idle',
    b'inactive',
    b'seen-time',
    b'active-time',
    b'pending-entries',
)

JUDGES: dict[bytes, Judge] = {
    b'SMEMBERS': in_any_order,
    b'SINTER': in_any_order,
    b'SUNION': in_any_order,
    b'SDIFF': in_any_order,
    b'KEYS': in_any_order,
    b'HKEYS': in_any_order,
    b'HVALS': in_any_order,
    b'HGETALL': pairs_in_any_order,
    b'SCAN': scan_in_any_order,
    b'SSCAN': scan_in_any_order,
    b'HSCAN': hscan_in_any_order,
    b'ZSCAN': hscan_in_any_order,
    b'TTL': within(SLACK_MS // 1000),
    b'PTTL': within(SLACK_MS),
    b'EXPIRETIME': within(SLACK_MS // 1000),
    b'PEXPIRETIME': within(SLACK_MS),
    b'SPOP': same_size,
    b'SRANDMEMBER': same_size,
    b'HRANDFIELD': same_size,
    b'ZRANDMEMBER': same_size,
    b'RANDOMKEY': same_kind,
    b'TIME': same_kind,
    b'INFO': same_kind,
    b'LASTSAVE': same_kind,
    b'DUMP': same_kind,
    b'MEMORY USAGE': same_kind,
    b'OBJECT ENCODING': same_kind,
    b'OBJECT FREQ': same_kind,
    b'OBJECT IDLETIME': same_kind,
    b'CLIENT ID': same_kind,
    b'CLIENT INFO': same_kind,
    b'CLIENT LIST': same_kind,
    b'COMMAND': same_kind,
    b'COMMAND COUNT': same_kind,
    b'CONFIG GET': same_kind,
    b'LATENCY DOCTOR': same_kind,
    b'LATENCY HISTOGRAM': same_kind,
    b'LOLWUT': same_kind,
    b'MEMORY DOCTOR': same_kind,
    b'MEMORY MALLOC-STATS': same_kind,
    b'MEMORY STATS': same_kind,
    b'MODULE LIST': same_kind,
    b'HELLO': same_kind,
    b'ROLE': role_without_offset,
    b'SLOWLOG GET': same_kind,
    b'SLOWLOG LEN': same_kind,
    b'XINFO STREAM': _XINFO,
    b'XINFO GROUPS': _XINFO,
    b'XINFO CONSUMERS': _XINFO,
    b'XPENDING': pending_without_idle,
    b'PUBSUB CHANNELS': in_any_order,
    b'PUBSUB SHARDCHANNELS': in_any_order,
    b'CLIENT HELP': same_help,
    b'COMMAND HELP': same_help,
    b'CONFIG HELP': same_help,
    b'LATENCY HELP': same_help,
    b'MEMORY HELP': same_help,
    b'OBJECT HELP': same_help,
    b'PUBSUB HELP': same_help,
    b'SCRIPT HELP': same_help,
    b'SLOWLOG HELP': same_help,
    b'XGROUP HELP': same_help,
    b'XINFO HELP': same_help,
}

_SCRIPTS = (b'EVAL', b'EVALSHA', b'EVAL_RO', b'EVALSHA_RO')


def judge_of(command: Command) -> Judge:
    """Return what decides whether two replies to ``command`` agree.

    A script that passes its arguments on to redis.call is judged as the command that they name.
    """
    name = command[0].upper()
    if name in _SCRIPTS and len(command) > 3 and command[2].isdigit():
        inner = command[3 + int(command[2]) :]
        return judge_of(inner) if inner and inner[0].upper() in JUDGES else equal
    if name == b'XADD' and b'*' in command:
        return same_kind
    if command[CURSORS.get(name, len(command)) :][:1] not in ((), (b'0',)):
        # A cursor that the server did not give means some place or other.
        return same_kind
    if name == b'HSCAN' and b'NOVALUES' in [word.upper() for word in command]:
        return scan_in_any_order
    if len(command) > 1:
        both = name + b' ' + command[1].upper()
        if both in JUDGES:
            return JUDGES[both]
    return JUDGES.get(name, equal)


def agree(command: Command, theirs: Reply, ours: Reply) -> bool:
    """Tell whether Redis' reply and ours to ``command`` agree."""
    return judge_of(command)(theirs, ours)


def agree_on_exec(queued: Sequence[Command], theirs: Reply, ours: Reply) -> bool:
    """Tell whether the replies to EXEC agree, each element judged as its command."""
    if theirs.kind != '*' or ours.kind != '*' or theirs.value is None or ours.value is None:
        return theirs == ours
    if len(theirs.value) != len(ours.value) or len(queued) != len(ours.value):
        return False
    return all(agree(*item) for item in zip(queued, theirs.value, ours.value, strict=True))
