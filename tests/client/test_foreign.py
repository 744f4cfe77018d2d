"""Another user of the machine cannot have our clients speak to his store."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import AsyncRedis, Redis, errors
from rq_leveldb.cli.main import main
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory, parse, prepare_front_directory

NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can make what belongs to another user')


@contextmanager
def listening(path: Path, user: int) -> Iterator[socket.socket]:
    """Let a user listen at a path, on a socket that is ours."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        os.seteuid(user)
        try:
            server.listen(8)
        finally:
            os.seteuid(0)
        yield server


def received(server: socket.socket) -> bytes:
    """Return what all clients that came have sent."""
    server.setblocking(False)
    data = b''
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        while selector.select(0):
            client, _ = server.accept()
            with client:
                client.setblocking(True)
                while piece := client.recv(4096):
                    data += piece
    return data


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a data directory of ours, below a directory that holds nothing else."""
    path = tmp_path / 'above' / 'store'
    DataDirectory(path).create()
    return path


def refusal(path: Path) -> errors.StoreError:
    """Return why a client does not connect to a place."""
    with Redis.from_url(f'leveldb://{path}') as client, pytest.raises(redis_py.ConnectionError) as caught:
        client.ping()
    cause = caught.value.__cause__
    assert isinstance(cause, errors.StoreError)
    assert str(caught.value) == str(cause)
    return cause


@as_root
def test_nothing_is_sent_to_another_users_listener(place: Path) -> None:
    with listening(place / 'store.sock', NOBODY) as server:
        reason = refusal(place)
        assert isinstance(reason, errors.ForeignOwner)
        assert 'nobody' in str(reason)
        assert received(server) == b''


@as_root
def test_nothing_is_sent_by_the_client_for_asyncio(place: Path) -> None:
    async def ping() -> None:
        async with AsyncRedis.from_url(f'leveldb://{place}') as client:
            await client.ping()

    with listening(place / 'store.sock', NOBODY) as server:
        with pytest.raises(redis_py.ConnectionError, match='Another user'):
            asyncio.run(ping())
        assert received(server) == b''


@as_root
@pytest.mark.parametrize(
    'arguments',
    [
        ['status'],
        ['job', 'x'],
        ['info'],
        ['children'],
        ['stop'],
        ['enqueue', 'cli_jobs.add'],
        ['requeue', '--queue', 'default', '--all'],
        ['empty', '--all'],
        ['suspend'],
        ['resume'],
        ['worker', '--burst', '--no-http'],
        ['token'],
        ['http', '--http', '127.0.0.1:0'],
        ['store', '--idle', '1'],
        ['url'],
        ['run', 'true'],
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_every_command_says_the_same(place: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    os.chown(place, NOBODY, -1)
    with listening(place / 'store.sock', NOBODY) as server:
        try:
            code: object = main([arguments[0], '--url', f'leveldb://{place}', *arguments[1:]])
        except SystemExit as end:
            code = end.code
        text = ''.join(capfd.readouterr())
        assert code not in (0, None)
        assert f'The data directory belongs to another user (nobody): {place}' in text
        assert 'Traceback' not in text
        assert received(server) == b''


@as_root
def test_a_socket_of_another_user(place: Path) -> None:
    with listening(place / 'store.sock', 0) as server:
        os.chown(place / 'store.sock', NOBODY, -1)
        assert isinstance(refusal(place), errors.ForeignOwner)
        assert received(server) == b''


@as_root
def test_a_directory_above_that_is_another_users(place: Path) -> None:
    with listening(place / 'store.sock', 0) as server:
        os.chown(place.parent, NOBODY, -1)
        assert 'above belongs to nobody' in str(refusal(place))
        assert received(server) == b''


@pytest.mark.parametrize('mode', [0o777, 0o733])
def test_a_directory_above_that_all_can_write_to(place: Path, mode: int) -> None:
    place.parent.chmod(mode)
    reason = refusal(place)
    assert isinstance(reason, errors.UnsafePath)
    assert f'others can write to {place.parent}' in str(reason)
    with pytest.raises(errors.UnsafePath):
        DataDirectory(place.parent / 'new').create()
    assert not (place.parent / 'new').exists()


@as_root
def test_a_directory_above_that_a_group_can_write_to(place: Path) -> None:
    place.parent.chmod(0o775)
    autostart.connect(parse(f'leveldb://{place}?idle=1')).close()
    os.chown(place.parent, -1, NOBODY)
    assert isinstance(refusal(place), errors.UnsafePath)


def test_a_data_directory_that_all_can_write_to(place: Path) -> None:
    place.chmod(0o777)
    assert isinstance(refusal(place), errors.UnsafePath)
    place.chmod(0o755)
    autostart.connect(parse(f'leveldb://{place}?idle=1')).close()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_below_a_sticky_directory_and_a_link_of_our_own(place: Path, tmp_path: Path) -> None:
    place.parent.chmod(0o1777)
    (place.parent / 'link').symlink_to('../above/./store')
    with Redis.from_url(f'leveldb://{tmp_path}/above/link?idle=1') as client:
        assert client.ping()
        client.shutdown()


@as_root
def test_a_link_of_another_user_in_a_sticky_directory(place: Path) -> None:
    place.parent.chmod(0o1777)
    link = place.parent / 'link'
    link.symlink_to(place)
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    assert 'link belongs to nobody' in str(refusal(link))


def test_a_link_that_leads_through_a_directory_of_all(place: Path, tmp_path: Path) -> None:
    place.parent.chmod(0o777)
    (tmp_path / 'link').symlink_to('above')
    assert isinstance(refusal(tmp_path / 'link' / 'store'), errors.UnsafePath)
    (tmp_path / 'loop').symlink_to('loop')
    with pytest.raises(redis_py.ConnectionError):
        Redis.from_url(f'leveldb://{tmp_path}/loop').ping()


def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path) -> None:
    for number, mask in enumerate((0o000, 0o002, 0o277)):
        before = os.umask(mask)
        try:
            DataDirectory(tmp_path / f'a{number}' / 'b' / 'c').create()
            prepare_front_directory(f'redis://host{number}')
        finally:
            os.umask(before)
        for part in (f'a{number}', f'a{number}/b', f'a{number}/b/c'):
            assert stat.S_IMODE((tmp_path / part).stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / f'a{number}/b/c/format').stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / 'state' / 'rq-leveldb-http').stat().st_mode) == 0o700


@as_root
def test_a_user_who_is_not_root(tmp_path: Path) -> None:
    # The interpreter and this package may be where nobody else can look, so they are loaded first.
    program = """
import os, sys
from rq_leveldb import errors
from rq_leveldb.location import DataDirectory
os.chdir('/')
os.setgroups([]), os.setgid(65534), os.setuid(65534)
from pathlib import Path
DataDirectory(Path(sys.argv[1])).create()
for place in sys.argv[2:]:
    try:
        DataDirectory(Path(place)).create()
    except errors.ForeignOwner as error:
        print(error)
"""
    with_sticky = Path(os.environ.get('TMPDIR', '/tmp')) / f'rq-leveldb-test-{os.getpid()}'
    with_sticky.mkdir()
    try:
        with_sticky.chmod(0o1777)
        DataDirectory(with_sticky / 'of-root').create()
        ran = subprocess.run(
            [sys.executable, '-c', program, with_sticky / 'own', with_sticky / 'of-root'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert 'The data directory belongs to another user (root)' in ran.stdout
        assert (with_sticky / 'own').stat().st_uid == NOBODY
    finally:
        subprocess.run(['rm', '-rf', with_sticky], check=True)
