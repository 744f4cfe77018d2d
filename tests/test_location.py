"""URLs, the environment and the data directory."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from rq_leveldb import errors, location
from rq_leveldb.location import DataDirectory
from rq_leveldb.unix_socket import bind_unix, connect_unix


@pytest.mark.parametrize(
    ('url', 'path', 'db', 'fsync', 'idle', 'extra'),
    [
        ('leveldb:///var/lib/jobs', '/var/lib/jobs', 0, None, 60.0, {}),
        ('leveldb:///var/lib/jobs/', '/var/lib/jobs', 0, None, 60.0, {}),
        ('leveldb:///a?db=3&fsync=always&idle=0', '/a', 3, 'always', 0.0, {}),
        ('leveldb:///a%20b%3F', '/a b?', 0, None, 60.0, {}),
        ('LEVELDB:///a?client_name=x', '/a', 0, None, 60.0, {'client_name': 'x'}),
    ],
)
def test_url(url: str, path: str, db: int, fsync: str | None, idle: float, extra: dict[str, str]) -> None:
    place = location.parse(url)
    assert (str(place.directory.path), place.db, place.fsync, place.idle, place.extra) == (path, db, fsync, idle, extra)
    assert location.parse(place.url) == place


@pytest.mark.parametrize('url', [None, 'leveldb://', 'leveldb:///'])
def test_default_place_follows_xdg(url: str | None) -> None:
    assert location.parse(url, {'XDG_STATE_HOME': '/state'}).directory.path == Path('/state/rq-leveldb')
    home = Path.home() / '.local' / 'state' / 'rq-leveldb'
    assert location.parse(url, {}).directory.path == home
    assert location.parse(url, {'XDG_STATE_HOME': 'relative'}).directory.path == home


@pytest.mark.parametrize(
    'url',
    [
        '/var/lib/jobs',
        'jobs',
        'leveldb:/var/lib/jobs',
        'leveldb://var/lib/jobs',
        'leveldb:///a?db=16',
        'leveldb:///a?db=-1',
        'leveldb:///a?db=one',
        'leveldb:///a?idle=-1',
        'leveldb:///a?idle=nan',
        'leveldb:///a?fsync=never',
        'leveldb:///a#b',
        'leveldb:///a%00b',
        'redis://localhost',
        'leveldb://[',
    ],
)
def test_bad_url(url: str) -> None:
    with pytest.raises(errors.BadAddress) as caught:
        location.parse(url)
    assert caught.value.where == url


@pytest.mark.parametrize(
    ('environ', 'url'),
    [
        ({}, None),
        ({'RQ_REDIS_URL': 'b'}, 'b'),
        ({'RQ_REDIS_URL': 'b', 'RQ_LEVELDB_URL': 'a'}, 'a'),
        ({'RQ_REDIS_URL': 'b', 'RQ_LEVELDB_URL': ''}, 'b'),
    ],
)
def test_environment(environ: dict[str, str], url: str | None) -> None:
    assert location.configured_url(environ) == url


def test_create_makes_a_private_directory(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / 'a' / 'b')
    assert directory.check() is False
    directory.create()
    directory.create()
    assert directory.check() is True
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert directory.marker.read_text() == 'rq-leveldb 1\n'
    assert os.listdir(directory.path) == ['format']


def test_create_by_many_at_once(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / 'store')
    failures: list[Exception] = []
    barrier = threading.Barrier(16)

    def make() -> None:
        barrier.wait()
        try:
            directory.create()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert os.listdir(directory.path) == ['format']


def test_create_takes_an_empty_directory_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / 'real').mkdir(mode=0o755)
    (tmp_path / 'link').symlink_to('real')
    DataDirectory(tmp_path / 'link').create()
    assert DataDirectory(tmp_path / 'real').check() is True


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'photo.jpg').touch()
    with pytest.raises(errors.NotAStore):
        DataDirectory(tmp_path).create()
    with pytest.raises(errors.NotAStore):
        DataDirectory(tmp_path / 'photo.jpg').create()
    with pytest.raises(errors.NotAStore):
        DataDirectory(tmp_path / 'photo.jpg' / 'store').create()
    assert os.listdir(tmp_path) == ['photo.jpg']


def test_format_of_a_later_version(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.marker.write_text('rq-leveldb 2\n')
    with pytest.raises(errors.NewerFormat):
        directory.check()
    directory.marker.write_text('something else')
    with pytest.raises(errors.NotAStore):
        directory.check()


def test_unwritable_parent(tmp_path: Path) -> None:
    with pytest.raises(errors.UnwritableDirectory):
        DataDirectory(Path('/proc/rq-leveldb')).create()
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(errors.UnwritableDirectory):
            DataDirectory(tmp_path / 'store').create()


@pytest.mark.parametrize('length', [10, 300])
def test_sockets_with_paths_of_any_length(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ('x' * (length // 2)) / ('y' * (length // 2))
    folder.mkdir(parents=True)
    path = folder / 'store.sock'
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        bind_unix(server, path)
        server.listen(1)
        connect_unix(client, path, timeout=1.0)
        connection, _ = server.accept()
        with connection:
            client.sendall(b'hello')
            assert connection.recv(5) == b'hello'
    assert path.exists()


def test_there_is_one_front_for_a_server_however_its_url_is_written() -> None:
    same = ('redis://h', 'redis://H:6379/0', 'rediss://user:pass@h/0?socket_timeout=5', 'redis://h/7?db=0')
    other = ('redis://h/1', 'redis://h:6380/0', 'redis://g/0', 'unix:///h', 'unix:///h?db=1', 'unix:///g')
    assert len({location.front_directory(url).path for url in same}) == 1
    assert len({location.front_directory(url).path for url in (same[0], *other)}) == 1 + len(other)


def test_a_full_backlog_is_waited_for_only_so_long(tmp_path: Path) -> None:
    path = tmp_path / 'store.sock'
    with socket.socket(socket.AF_UNIX) as server:
        bind_unix(server, path)
        server.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        try:
            with pytest.raises(BlockingIOError):
                connect_all(clients, path)
        finally:
            for client in clients:
                client.close()


def connect_all(clients: list[socket.socket], path: Path) -> None:
    for client in clients:
        connect_unix(client, path, timeout=0.05)
