"""COMMAND: information about the store's own commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rq_leveldb.store import catalogue
from rq_leveldb.store.catalogue import Entry
from rq_leveldb.store.command import OWN_FLAGS, Command, by_full_name, find
from rq_leveldb.store.commands.rows import container, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.key_specs import Found, find_keys, has_keys
from rq_leveldb.store.replies import Reply, ReplyError, SetReply, Status, syntax_error


def command(ctx: Context, argv: list[bytes]) -> Reply:
    commands = list(ctx.services.commands.values())
    told = _told_of(commands)
    return [_describe(one, told) for one in commands]


def count(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.services.commands)


def _with_subcommands(commands: Iterable[Command]) -> Iterator[Command]:
    for one in commands:
        yield one
        yield from one.subcommands.values()


def _told_of(commands: Iterable[Command | None]) -> dict[bytes, Entry]:
    names = {one.name.encode() for one in _with_subcommands(filter(None, commands))}
    return dict(catalogue.entries(names.__contains__))


# -- COMMAND LIST


def list_(ctx: Context, argv: list[bytes]) -> Reply:
    commands = list(_with_subcommands(ctx.services.commands.values()))
    names = [one.name.encode() for one in commands]
    if len(argv) == 2:
        return names
    if len(argv) != 5 or argv[2].lower() != b'filterby':
        raise syntax_error()
    kind, value = argv[3].lower(), argv[4].lower()
    if kind == b'pattern':
        glob = Glob(value)
        return [name for name in names if glob.matches(name)]
    if kind == b'aclcat':
        category = '@' + value.decode('latin-1')
        told = _told_of(commands)
        return [name for name in names if category in told[name]['categories']]
    if kind == b'module':
        return []  # there are none
    raise syntax_error()


# -- COMMAND INFO and DOCS


def info(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        return command(ctx, argv)
    wanted = [by_full_name(ctx.services.commands, name) for name in argv[2:]]
    told = _told_of(wanted)
    return [None if one is None else _describe(one, told) for one in wanted]


def _describe(one: Command, told: dict[bytes, Entry]) -> Reply:
    entry = told[one.name.encode()]
    return [
        one.name.encode(),
        one.arity,
        _statuses(sorted(one.flags - OWN_FLAGS)),
        *one.keys,
        _statuses(entry['categories']),
        SetReply(tip.encode() for tip in entry.get('tips', ())),
        SetReply(_as_reply(spec) for spec in entry.get('keys', ())),
        [_describe(subcommand, told) for subcommand in one.subcommands.values()] or SetReply(),
    ]


def docs(ctx: Context, argv: list[bytes]) -> Reply:
    names = argv[2:] or list(ctx.services.commands)
    wanted = list(filter(None, (by_full_name(ctx.services.commands, name) for name in names)))
    told = _told_of(wanted)
    return {one.name.encode(): _document(one, told) for one in wanted}


def _document(one: Command, told: dict[bytes, Entry]) -> dict[bytes, Reply]:
    document: dict[bytes, Reply] = _as_reply(told[one.name.encode()]['docs'])
    if one.subcommands:
        document[b'subcommands'] = {
            subcommand.name.encode(): _document(subcommand, told) for subcommand in one.subcommands.values()
        }
    return document


def _as_reply(value: Any, name: str = '') -> Any:
    """Return what the catalogue has, in the types that Redis gives it.

    Args:
        value: a part of the catalogue, as JSON has it.
        name: under which it stands.
    """
    if isinstance(value, dict):
        return {key.encode(): _as_reply(item, key) for key, item in value.items()}
    if isinstance(value, list):
        if name in ('flags', 'doc_flags'):
            return _statuses(value)
        return [_as_reply(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def _statuses(words: Iterable[str]) -> SetReply:
    return SetReply(Status(word.encode()) for word in words)


# -- COMMAND GETKEYS


def getkeys(ctx: Context, argv: list[bytes]) -> Reply:
    return [key for key, _ in _keys(ctx, argv[2:])]


def getkeysandflags(ctx: Context, argv: list[bytes]) -> Reply:
    return [[key, _statuses(flags)] for key, flags in _keys(ctx, argv[2:])]


def _keys(ctx: Context, argv: list[bytes]) -> Found:
    found = find(ctx.services.commands, argv)
    if found is None:
        raise ReplyError('ERR Invalid command specified')
    specs = catalogue.read(found.name.encode()).get('keys', [])
    if not has_keys(specs):
        raise ReplyError('ERR The command has no key arguments')
    if not found.accepts(len(argv)):
        raise ReplyError('ERR Invalid number of arguments specified for command')
    keys = find_keys(found.name, specs, argv)
    if not keys and 'no_mandatory_keys' not in found.flags:
        raise ReplyError('ERR Invalid arguments specified for command')
    return keys


COMMANDS = (
    container(
        'command',
        row('count', count, 2, 'loading stale'),
        row('list', list_, -2, 'loading stale'),
        row('info', info, -2, 'loading stale'),
        row('docs', docs, -2, 'loading stale'),
        row('getkeys', getkeys, -3, 'loading stale'),
        row('getkeysandflags', getkeysandflags, -3, 'loading stale'),
        handler=command,
        arity=-1,
        flags='loading stale',
    ),
)
