"""Check that only this user and root decide what is at a path, and who listens there.

Jobs are code, so whoever can put another store in place of ours can run code as this user. Root is trusted, because
root can do that anyway. Nobody else is.
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
    """Check that no other user can put something else at a path.

    Every directory on the way must belong to this user or to root. Either only they can write to it, or it is sticky
    like /tmp, where only a name's owner can replace it. The same applies wherever symbolic links lead.

    Args:
        path: an absolute path.

    Returns:
        The status of what is there, whoever owns it; None if nothing is there.

    Raises:
        UnsafePath: another user can put something else there.
        OSError: its status cannot be read.
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
        # The directory that is entered here is itself in a safe place.
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
    """Return whether users other than its owner and root can write to a file or directory.

    Args:
        status: what stat returned for it.
    """
    mode = status.st_mode
    return bool(mode & stat.S_IWOTH) or bool(mode & stat.S_IWGRP and _has_others(status.st_gid, os.geteuid()))


@lru_cache(maxsize=100)
def _has_others(gid: int, uid: int) -> bool:
    """Return whether a group has members other than a user and root. A user's own group has none."""
    if gid == 0:
        return False
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        # As for a volume in a container: nobody was added to the group by name.
        return False
    members.update(entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid)
    return bool(members - {user_name(uid), user_name(0)})


@lru_cache(maxsize=1)
def _unmapped_user() -> int:
    """Return the number that stands for all users whom a user namespace does not map, including root.

    It is 0 if there is no such namespace, or if the number also belongs to somebody in it.
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
    """Return a user's name, or the number if there is no name.

    Args:
        uid: the number.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f'user {uid}'


def peer(sock: socket.socket) -> tuple[int, int]:
    """Return pid (0 if the system does not report it) and uid of the process at the other end of a unix socket.

    Args:
        sock: a connected socket. For a client, the other end is the process that called listen.
    """
    if hasattr(socket, 'SO_PEERCRED'):
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
        pid, uid, _ = struct.unpack('3i', data)
        return pid, uid
    # macOS: LOCAL_PEERCRED gives a struct xucred, whose second field is the uid.
    data = sock.getsockopt(0, 1, 76)
    return 0, struct.unpack_from('I', data, 4)[0]


def check_listener(sock: socket.socket, where: str) -> None:
    """Check that this user or root is listening at the other end of a unix socket.

    Args:
        sock: a connected socket on which nothing has been sent yet.
        where: the path.

    Raises:
        ForeignOwner: somebody else does.
    """
    _, uid = peer(sock)
    if uid not in (os.geteuid(), 0):
        raise ForeignOwner(
            where,
            title=f'Another user ({user_name(uid)}) is listening in place of the store',
            advice='Nothing was sent. Name a directory of your own in RQ_LEVELDB_URL.',
        )
