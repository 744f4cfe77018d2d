"""The notes of a process, followed from its first one, lead to what is really on the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.power.disk import Disk, File
from tests.power.models import Killed, rebuild
from tests.power.recorder import Kind, Recorder, Unrecorded, missing, read

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

_WRITER = """
import os, socket, sys
root = sys.argv[1]
os.makedirs(f'{root}/one/two')
with open(f'{root}/one/two/file', 'wb') as file:
    for number in range(100):
        file.write(b'%d,' % number)
        file.flush()
    os.fdatasync(file.fileno())
descriptor = os.open(f'{root}/one/two/file', os.O_RDWR)
os.pwrite(descriptor, b'put over it', 20)
os.writev(descriptor, [b'first', b'second'])
os.ftruncate(descriptor, 150)
os.close(descriptor)
with open(f'{root}/one/two/file', 'ab') as file:
    file.write(b'appended')
for name in ('kept', 'gone', 'moved', 'linked'):
    with open(f'{root}/one/{name}', 'w') as file:
        file.write(name)
os.chdir(f'{root}/one')
os.unlink('gone')
os.rename('moved', 'kept')
os.link('linked', 'again')
os.rename('again', 'two/again')
with open('kept', 'w') as file:
    file.write('anew')
os.mkdir('empty')
os.mkdir('not for long')
os.rmdir('not for long')
here, there = socket.socketpair()
here.send(b'a message')
here.sendmsg([b'in ', b'parts'])
"""


_STREAMS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
def write(name, mode, data):
    stream = ctypes.c_void_p(libc.fopen(os.fsencode(name), mode))
    assert libc.fwrite(data, 1, len(data), stream) == len(data)
    assert libc.fflush(stream) == 0
    assert libc.fsync(libc.fileno(stream)) == 0
    assert libc.fclose(stream) == 0
os.chdir(sys.argv[1])
write('file', b'w', b'x' * 100_000)
write('file', b'a', b'appended')
os.truncate('file', 99_000)
child = os.fork()
if child == 0:
    write('of the child', b'wb', b'y' * 10_000)
    os._exit(0)
os.waitpid(child, 0)
os.rename('of the child', 'taken over')
"""


def record(tmp_path: Path, program: str, streams: bool = False) -> Recorder:
    root = tmp_path / 'disk'
    root.mkdir()
    recorder = Recorder(tmp_path, root, streams=streams)
    subprocess.run([sys.executable, '-c', program, root], env=recorder.environment(), check=True)
    return recorder


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b'a directory' for path in root.rglob('*')
    }


def test_what_is_noted_is_what_happened(tmp_path: Path) -> None:
    recorder = record(tmp_path, _WRITER)
    disk = Disk(str(recorder.root))
    notes = list(read(recorder.path))
    for note in notes:
        disk.follow(note)
    rebuilt = tmp_path / 'rebuilt'
    rebuilt.mkdir()
    rebuild(Killed(disk, Random(0)), rebuilt)
    assert contents(rebuilt) == contents(recorder.root)
    assert [note.data for note in notes if note.kind is Kind.SENT] == [b'a message', b'in parts']


def test_streams_and_children_are_noted(tmp_path: Path) -> None:
    recorder = record(tmp_path, _STREAMS, streams=True)
    disk = Disk(str(recorder.root))
    for note in read(recorder.path):
        disk.follow(note)
    rebuilt = tmp_path / 'rebuilt'
    rebuilt.mkdir()
    # All but the cut was synced, and the names were not.
    rebuild(Killed(disk, Random(0)), rebuilt)
    assert contents(rebuilt) == contents(recorder.root) == {'file': b'x' * 99_000, 'taken over': b'y' * 10_000}
    assert {name: bytes(node.durable) for name, node in disk.root.names.items() if isinstance(node, File)} == {
        'file': b'x' * 100_000 + b'appended',
        'taken over': b'y' * 10_000,
    }


def test_what_cannot_be_noted_is_refused(tmp_path: Path) -> None:
    program = """
import mmap, sys
with open(f'{sys.argv[1]}/file', 'w+b') as file:
    file.write(bytes(100))
    file.flush()
    mmap.mmap(file.fileno(), 100)[0] = 1
"""
    with pytest.raises(Unrecorded, match='mmap'):
        list(read(record(tmp_path, program).path))


def test_a_kill_comes_at_the_note_that_was_named(tmp_path: Path) -> None:
    root = tmp_path / 'disk'
    root.mkdir()
    recorder = Recorder(tmp_path, root)
    recorder.kill_after(50)
    done = subprocess.run([sys.executable, '-c', _WRITER, root], env=recorder.environment())
    assert done.returncode == -9
    disk = Disk(str(root))
    for note in read(recorder.path):
        disk.follow(note)
    rebuilt = tmp_path / 'rebuilt'
    rebuilt.mkdir()
    rebuild(Killed(disk, Random(0)), rebuilt)
    assert contents(rebuilt) == contents(root)
    assert recorder.count() == 50
