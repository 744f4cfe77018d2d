"""Write ``rq_leveldb/store/catalogue.txt`` anew: what a real Redis tells of the commands that the store has.

``python -m compat_tests.catalogue``, after a change of the table of commands or of the model's version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rq_leveldb.store
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis
from rq_leveldb.store.command import Command
from rq_leveldb.store.commands.table import all_commands


def main() -> None:
    """Ask a real server about every command and write the file."""
    with RealRedis() as server:
        wire = Wire(server.socket_path, 3)
        lines = [_line(wire, command) for container in all_commands() for command in _with_subcommands(container)]
        wire.close()
    path = Path(rq_leveldb.store.__file__).with_name('catalogue.txt')
    path.write_text(''.join(f'{line}\n' for line in sorted(lines)), encoding='utf-8')
    print(f'{path}: {len(lines)} commands, {path.stat().st_size} bytes')


def _with_subcommands(command: Command) -> Iterator[Command]:
    yield command
    yield from command.subcommands.values()


def _line(wire: Wire, command: Command) -> str:
    (info,) = _plain(wire.call('COMMAND', 'INFO', command.name))
    assert info is not None, f'Redis has no {command.name}'
    ((_, docs),) = _plain(wire.call('COMMAND', 'DOCS', command.name)).items()
    docs.pop('subcommands', None)
    entry = {'categories': info[6], 'tips': info[7], 'keys': info[8], 'docs': docs}
    if command.subcommands:
        entry['help'] = _help(wire, command)
    text = json.dumps({name: value for name, value in entry.items() if value}, separators=(',', ':'))
    return f'{command.name}\t{text}'


def _help(wire: Wire, command: Command) -> list[str]:
    """The lines of HELP, without those of subcommands that the store does not have."""
    first, *lines = _plain(wire.call(command.name, 'HELP'))
    kept = [first]
    keeping = True
    for line in lines:
        if not line.startswith(' '):
            word = line.split()[0]
            keeping = word.startswith('(') or word.lower().encode() in command.subcommands
        if keeping:
            kept.append(line)
    return kept


def _plain(reply: Reply) -> Any:
    if reply.kind == '%':
        return {_plain(name): _plain(value) for name, value in reply.value}
    if isinstance(reply.value, list):
        return [_plain(item) for item in reply.value]
    return reply.value.decode() if isinstance(reply.value, bytes) else reply.value


if __name__ == '__main__':
    main()
