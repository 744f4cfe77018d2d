"""docs/format.rst tells the truth: its examples are what the commands leave in LevelDB."""

from __future__ import annotations

import re
from pathlib import Path

from rq_leveldb.store import encoding
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.commands.table import all_commands
from rq_leveldb.store.context import Context
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.keyspace import Keyspace
from tests.places import ROOT

PAGE = ROOT / 'docs' / 'format.rst'


def parts(text: str, version: bytes) -> bytes:
    """Read the page's notation: quoted ASCII, hexadecimal, and VERSION."""
    found = b''
    for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', text):
        found += quoted.encode() if not plain else version if plain == 'VERSION' else bytes.fromhex(plain)
    return found


def examples() -> list[tuple[str, list[str]]]:
    text = PAGE.read_text('utf-8').partition('Examples\n')[2]
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if re.match(r' {4}[A-Z]', line):
            found.append((line.strip(), []))
        elif re.match(r' {8}"', line):
            found[-1][1].append(line.strip())
    return found


def test_the_page_shows_what_is_written(tmp_path: Path) -> None:
    engine = Engine(tmp_path / 'leveldb')
    keyspace = Keyspace(engine)
    rows = {row.name: row for row in all_commands()}
    client = ClientState(1, '', -1, send=lambda push: None, close=lambda: None)
    ctx = Context(keyspace, client, None)  # type: ignore[arg-type]
    assert len(examples()) >= 7
    for command, lines in examples():
        argv = command.encode().split()
        keyspace.tick()
        rows[argv[0].decode().lower()].handler(ctx, argv)
        keyspace.commit()
        meta = engine.get(encoding.meta_prefix(encoding.u32(0)) + argv[1])
        assert meta is not None
        version = encoding.u64(encoding.meta_version(meta))
        shown = {}
        for line in lines:
            key, _, value = line.partition('->')
            shown[parts(key, version)] = parts(value, version)
        found = {
            key: value
            for key, value in engine.scan(b'\x01', b'\xff')
            if argv[1] in key or key.startswith(encoding.members_prefix(encoding.read_u64(version)))
        }
        assert found == shown, command
    engine.close()
