"""Whether nobody but this user and root decides what is at a path, and who listens there.

Jobs are code, so whoever can put a store of his own in the place of ours has his code run as us. Root is trusted, since
root needs no such trick; so is nobody else.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
import struct
from functools import lru_cache

from rq_leveldb.errors import ForeignOwner, UnsafePath

__all__ = ['check_listener', 'check_path', 'is_open_to_others', 'peer', 'user_name']

_MOST_LINKS = 40


def check_path(path: str) -> os.stat_result | None:
    """See that no other user can put something else at a path.

    Every directory on the way belongs to this user or to root, and is written by them alone; or it is sticky, as /tmp
    is, where only a name's owner can replace it. So it is where symbolic links lead.

    Args:
        path: an absolute path.

    Returns:
        The status of what is there, whoever owns it; None where nothing is.

    Raises:
        UnsafePath: another user can put something else there.
        OSError: it cannot be looked at.
    """
    trusted = {os.geteuid(), 0, _unmapped_user()}
    names = path.split('/')[::-1]
    place, found, links = '', os.lstat('/'), 0
    while names:
        name = names.pop()
        if name in ('', '.'):
            continue
        if name == '..':
            place = place.rpartition('/')[0]
            found = os.lstat(place or '/')
            continue
        # What is entered here is a directory whose own place is safe.
        _check_directory(path, place or '/', found, trusted)
        here = f'{place}/{name}'
        try:
            status = os.lstat(here)
        except FileNotFoundError:
            return None
        if not stat.S_ISLNK(status.st_mode):
            place, found = here, status
            continue
        if status.st_uid not in trusted:
            raise _unsafe(path, f'the link {here} belongs to {user_name(status.st_uid)}')
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        if target.startswith('/'):
            place, found = '', os.lstat('/')
        names += target.split('/')[::-1]
    return found


def _check_directory(path: str, directory: str, status: os.stat_result, trusted: set[int]) -> None:
    if status.st_uid not in trusted:
        raise _unsafe(path, f'{directory} belongs to {user_name(status.st_uid)}')
    if not status.st_mode & stat.S_ISVTX and is_open_to_others(status):
        raise _unsafe(path, f'others can write to {directory}')


def _unsafe(path: str, reason: str) -> UnsafePath:
    return UnsafePath(path, title=f'{UnsafePath.default_title} ({reason})')


def is_open_to_others(status: os.stat_result) -> bool:
    """Say whether others than its owner and root can write to a file or directory.

    Args:
        status: what stat says of it.
    """
    mode = status.st_mode
    return bool(mode & stat.S_IWOTH) or bool(mode & stat.S_IWGRP and _has_others(status.st_gid, os.geteuid()))


@lru_cache(maxsize=100)
def _has_others(gid: int, uid: int) -> bool:
    """Say whether a group has other members than a user and root, as a group of the user's own has not."""
    if gid == 0:
        return False
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        # As a volume's in a container: nobody was put into it by name.
        return False
    members.update(entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid)
    return bool(members - {user_name(uid), user_name(0)})


@lru_cache(maxsize=1)
def _unmapped_user() -> int:
    """Return by which number all users are seen that a user namespace does not have, root among them.

    0 where there is no such namespace, or the number is also somebody's in it.
    """
    try:
        with open('/proc/self/uid_map', encoding='utf-8') as file:
            ranges = [(int(first), int(count)) for first, _, count in map(str.split, file)]
        with open('/proc/sys/fs/overflowuid', encoding='utf-8') as file:
            number = int(file.read())
    except (OSError, ValueError):
        return 0
    return 0 if any(first <= number < first + count for first, count in ranges) else number


def user_name(uid: int) -> str:
    """Return a user's name, or the number where there is none.

    Args:
        uid: the number.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f'user {uid}'


def peer(sock: socket.socket) -> tuple[int, int]:
    """Return pid (0 where the system does not tell) and uid of the process at the other end of a unix socket.

    Args:
        sock: a connected socket. At a client, the other end is who called listen.
    """
    if hasattr(socket, 'SO_PEERCRED'):
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
        pid, uid, _ = struct.unpack('3i', data)
        return pid, uid
    # macOS: LOCAL_PEERCRED gives a struct xucred, whose second field is the uid.
    data = sock.getsockopt(0, 1, 76)
    return 0, struct.unpack_from('I', data, 4)[0]


def check_listener(sock: socket.socket, where: str) -> None:
    """See that this user or root listens at the other end of a unix socket.

    Args:
        sock: a connected socket, by which nothing was sent yet.
        where: the path.

    Raises:
        ForeignOwner: somebody else does.
    """
    _, uid = peer(sock)
    if uid not in (os.geteuid(), 0):
        raise ForeignOwner(
            where,
            title=f'Another user ({user_name(uid)}) listens in the place of the store',
            advice='Nothing was sent. Name a directory of your own in RQ_LEVELDB_URL.',
        )
