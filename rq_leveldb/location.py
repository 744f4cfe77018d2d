"""Where a store is: URLs, environment, XDG; and the paths inside a data directory."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import math
import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from rq_leveldb import trust
from rq_leveldb.errors import (
    BadAddress,
    ForeignOwner,
    NewerFormat,
    NoHomeDirectory,
    NotAStore,
    UnsafePath,
    UnwritableDirectory,
)
from rq_leveldb.unix_socket import LONGEST_PATH

__all__ = [
    'DATABASES',
    'DEFAULT_FSYNC',
    'DEFAULT_IDLE',
    'FORMAT_VERSION',
    'FSYNC_POLICIES',
    'URL_VARIABLES',
    'DataDirectory',
    'Location',
    'configured_url',
    'default_directory',
    'front_directory',
    'is_duration',
    'is_redis_url',
    'parse',
    'parse_store',
    'prepare_front_directory',
]

FORMAT_VERSION = 1
FSYNC_POLICIES = ('everysec', 'always')
DEFAULT_FSYNC = 'everysec'
DEFAULT_IDLE = 60.0
DATABASES = 16
URL_VARIABLES = ('RQ_LEVELDB_URL', 'RQ_REDIS_URL')

_SCHEME = 'leveldb'
_REDIS_SCHEMES = ('redis', 'rediss', 'unix')
_MARKER = re.compile(r'rq-leveldb (\d+)\s*\Z')


class _Inside:
    """A name inside a data directory, which is read from an instance as a path."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, directory: DataDirectory, owner: object = None) -> Path:
        return directory.path / self._name


@dataclass(frozen=True)
class DataDirectory:
    """The names inside a data directory; docs/format.rst describes what is in them.

    Args:
        path: absolute path of the directory, whether or not it exists.
    """

    path: Path

    marker = _Inside('format')
    """Text `rq-leveldb VERSION`, which identifies a data directory."""

    socket = _Inside('store.sock')
    """The store's unix socket."""

    @property
    def socket_url(self) -> str:
        """The socket's URL for clients that only know Redis.

        Raises:
            BadAddress: the path is too long for them. Ours know a way round that.
        """
        name = os.fsencode(self.socket)
        if len(name) > LONGEST_PATH:
            raise BadAddress(
                str(self.socket),
                title=f'This path has {len(name)} bytes, and other clients can connect to sockets with at most '
                f'{LONGEST_PATH}',
                advice='Keep the data in a directory with a shorter path.',
            )
        return f'unix://{quote(name)}'

    lock = _Inside('store.lock')
    """Locked by the running store for as long as it lives; says which process that is."""

    start_lock = _Inside('start.lock')
    """Locked by a client while it starts the store."""

    log = _Inside('store.log')
    """The store's log."""

    database = _Inside('leveldb')
    """LevelDB's own directory."""

    boot_note = _Inside('boot')
    """Records in which boot of the machine the database was last opened."""

    set_aside = _Inside('set-aside')
    """Files of LevelDB that a loss of power made unusable; kept for a day."""

    mending = _Inside('leveldb.mending')
    """What `rq-leveldb check` works on: a copy of LevelDB's directory, which is removed at the end."""

    mended = _Inside('leveldb.mended')
    """A mended database that is about to replace the damaged one."""

    def damaged(self, stamp: str) -> Path:
        """Return where a damaged database is kept until a person removes it.

        Args:
            stamp: when it was mended.
        """
        return self.path / f'damaged-{stamp}'

    workers = _Inside('workers')
    """Files that live workers keep locked, one for each name."""

    token = _Inside('http.token')
    """The bearer token of the HTTP front."""

    http_lock = _Inside('http.lock')
    """Locked by the HTTP front for as long as it lives; says where it listens."""

    def check(self) -> bool:
        """Return whether this is a store's directory, without changing anything.

        Returns:
            True for a data directory, False for one that is missing or empty.

        Raises:
            NotAStore: it is not a directory, or holds other things.
            ForeignOwner: it belongs to another user.
            UnsafePath: another user can put something else there, or could write to it.
            NewerFormat: a later version wrote it.
            UnwritableDirectory: it cannot be read.
        """
        where = str(self.path)
        try:
            status = trust.check_path(where)
            if status is None:
                return False
            if not stat.S_ISDIR(status.st_mode):
                raise NotAStore(where, title='This is a file, not a directory')
            _check_owner(where, status)
            if trust.is_open_to_others(status) and os.listdir(self.path):
                # Its contents may be somebody else's; an empty directory is made private.
                raise UnsafePath(
                    where,
                    title='Others can write to the data directory',
                    advice='Check whose files are in it, then run chmod 700 on it.',
                )
            try:
                text = self.marker.read_text('utf-8')
            except FileNotFoundError:
                names = os.listdir(self.path)
                if self.marker.name in names:
                    # Another process wrote it in between.
                    return self.check()
                if all(map(_may_precede_marker, names)):
                    return False
                raise NotAStore(where) from None
        except FileNotFoundError:
            return False
        except NotADirectoryError as error:
            raise NotAStore(where, title='A part of this path is a file, not a directory') from error
        except (OSError, UnicodeDecodeError) as error:
            raise UnwritableDirectory(where, title=f'The data directory cannot be read ({_reason(error)})') from error
        match = _MARKER.match(text)
        if match is None:
            raise NotAStore(where, title='The file "format" in this directory does not belong to a store')
        if int(match[1]) > FORMAT_VERSION:
            raise NewerFormat(where)
        return True

    def check_socket(self) -> None:
        """Check that directory and socket belong to this user, before a client connects.

        After connecting, the client checks who is listening (`trust.check_listener`): that may change in between.

        Raises:
            ForeignOwner: they belong to another user.
            UnsafePath: another user can put something else there.
            OSError: their status cannot be read, or there is no socket.
        """
        where = str(self.path)
        status = trust.check_path(where)
        if status is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
        _check_owner(where, status)
        if trust.is_open_to_others(status):
            self.check()
        path = os.path.join(where, self.socket.name)
        uid = os.lstat(path).st_uid
        if uid not in (os.geteuid(), 0):
            raise ForeignOwner(path, title=f'The socket of the store belongs to another user ({trust.user_name(uid)})')

    def create(self) -> None:
        """Make the directory a data directory, private to its owner. Harmless if it already is one.

        Raises:
            NotAStore, ForeignOwner, UnsafePath, NewerFormat: as `check`.
            UnwritableDirectory: it cannot be created or written to.
        """
        try:
            is_store = self.check()
            if not is_store:
                _make_private(self.path)
                # Somebody else may have been faster.
                is_store = self.check()
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
            if not is_store:
                self._write_marker()
            elif not os.access(self.path, os.W_OK | os.X_OK):
                read_only = os.statvfs(self.path).f_flag & os.ST_RDONLY
                number = errno.EROFS if read_only else errno.EACCES
                raise OSError(number, os.strerror(number))
        except OSError as error:
            raise UnwritableDirectory(
                str(self.path), title=f'The data directory cannot be written ({_reason(error)})'
            ) from error

    def _write_marker(self) -> None:
        # Many clients may do this at once, and none may read half of it. It comes before anything else that is created
        # here: a directory that is not empty and has no marker is not a store.
        write_anew(self.marker, f'rq-leveldb {FORMAT_VERSION}\n'.encode(), f'{os.getpid()}.{threading.get_ident()}')


def _check_owner(where: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        owner = trust.user_name(status.st_uid)
        raise ForeignOwner(where, title=f'{ForeignOwner.default_title} ({owner})')


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_anew(path: Path, data: bytes, suffix: str = 'new') -> None:
    """Replace the contents of a private file, atomically and durably.

    Args:
        path: the file.
        data: the new contents.
        suffix: suffix of the temporary file's name.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f'{path.name}.{suffix}')
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), 'wb') as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_directory(path.parent)


def _make_private(path: Path) -> None:
    """Create a directory and its missing parents, for this user alone whatever the umask."""
    for missing in reversed([path, *path.parents]):
        # Not mkdir(parents=True), which gives only the last one its mode.
        if not missing.exists():
            with contextlib.suppress(FileExistsError):
                missing.mkdir(mode=0o700)
                missing.chmod(0o700)
                # A parent that cannot be read is somebody else's.
                with contextlib.suppress(PermissionError):
                    sync_directory(missing.parent)


def _may_precede_marker(name: str) -> bool:
    """Return whether a directory that is about to become a data directory may contain a name."""
    return name in ('start.lock', 'lost+found') or name.startswith('format.')


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


@dataclass(frozen=True)
class Location:
    """A store's place and how to open it.

    Args:
        directory: the data directory.
        db: number of the logical database, 0 to 15.
        fsync: 'everysec' or 'always' if the URL asks for it; None leaves it to the running store or to the default.
        idle: seconds without a client after which a store that is started for this place exits; 0 for never.
        extra: other query options of the URL, for the client library.
    """

    directory: DataDirectory
    db: int = 0
    fsync: str | None = None
    idle: float = DEFAULT_IDLE
    extra: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL that `parse` reads back as this place."""
        options: dict[str, object] = {}
        if self.db:
            options['db'] = self.db
        if self.fsync:
            options['fsync'] = self.fsync
        if self.idle != DEFAULT_IDLE:
            options['idle'] = f'{self.idle:g}'
        options.update(self.extra)
        query = f'?{urlencode(options)}' if options else ''
        return f'{_SCHEME}://{quote(os.fsencode(self.directory.path))}{query}'


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory that is used if nobody names one: rq-leveldb in the user's XDG state directory.

    Args:
        environ: environment variables.
    """
    # A relative value must be ignored: XDG Base Directory Specification.
    state = environ.get('XDG_STATE_HOME', '')
    base = Path(state) if os.path.isabs(state) else _expand('~') / '.local' / 'state'
    return base / 'rq-leveldb'


def _expand(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        # Neither HOME nor an entry in passwd(5), as in a container that runs under a number.
        raise NoHomeDirectory(f'user id {os.geteuid()}' if path == '~' else path) from error


def configured_url(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL that the environment names, if any: RQ_LEVELDB_URL, else RQ_REDIS_URL.

    Args:
        environ: environment variables.
    """
    return next((environ[name] for name in URL_VARIABLES if environ.get(name)), None)


def front_directory(url: str | None, environ: Mapping[str, str] = os.environ) -> DataDirectory:
    """Return where the HTTP front of a place keeps its token and lock: in the store's directory, which may not exist.

    A real Redis server has no data directory. Its front gets a directory for each server and database next to the
    default directory, or in the directory for temporary files if the user has no home. So there is one front for it on
    each machine, whatever else the URLs of its workers say.

    Args:
        url: `leveldb:///path`, the URL of a Redis server, or None for the default directory.
        environ: environment variables, for the default directory.

    Raises:
        BadAddress: the URL is none of these.
        NoHomeDirectory: there is no default directory.
    """
    if url is not None and is_redis_url(url):
        name = hashlib.sha256(_server_and_database(url).encode()).hexdigest()[:16]
        try:
            return DataDirectory(default_directory(environ).parent / 'rq-leveldb-http' / name)
        except NoHomeDirectory:
            import tempfile

            return DataDirectory(Path(tempfile.gettempdir()) / f'rq-leveldb-http-{os.geteuid()}-{name}')
    return parse(url, environ).directory


def _server_and_database(url: str) -> str:
    """Return what a server's URL says without its login and options."""
    try:
        parts = urlsplit(url)
        where = f'{(parts.hostname or "localhost").lower()}:{parts.port or 6379}'
    except ValueError as error:
        raise BadAddress(url) from error
    is_unix = parts.scheme.lower() == 'unix'
    # In redis-py the option wins over the path.
    database = dict(parse_qsl(parts.query)).get('db') or ('' if is_unix else parts.path.strip('/'))
    return f'{parts.path if is_unix else where}/{database or 0}'


def prepare_front_directory(url: str | None) -> DataDirectory:
    """Make the directory of a place's HTTP front, private to its owner, and return it.

    Args:
        url: as `front_directory`.

    Raises:
        StoreError: it cannot be made, or belongs to somebody else.
    """
    directory = front_directory(url)
    if url is None or not is_redis_url(url):
        directory.create()
        return directory
    try:
        _make_private(directory.path)
        status = trust.check_path(str(directory.path))
        owner = status.st_uid if status is not None else None
    except OSError as error:
        raise UnwritableDirectory(
            str(directory.path), title=f'The directory of the HTTP front cannot be made ({_reason(error)})'
        ) from error
    if owner != os.geteuid():
        # Anybody can create one among the temporary files, and its contents decide who may run jobs.
        raise ForeignOwner(str(directory.path), title='The directory of the HTTP front belongs to another user')
    return directory


def is_redis_url(url: str) -> bool:
    """Return whether a URL means a real Redis server (redis://, rediss://, unix://)."""
    scheme, separator, _ = url.partition('://')
    return bool(separator) and scheme.lower() in _REDIS_SCHEMES


def parse(url: str | None = None, environ: Mapping[str, str] = os.environ) -> Location:
    """Read a leveldb:// URL.

    Args:
        url: `leveldb:///absolute/path?db=1&fsync=always&idle=60`; `leveldb://` or None is the default directory.
        environ: environment variables, for the default directory.

    Raises:
        BadAddress: it is not such a URL, does not name an absolute path, or has an option out of range.
    """
    if url is None:
        return Location(DataDirectory(default_directory(environ)))
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadAddress(url) from error
    if parts.scheme.lower() != _SCHEME or '://' not in url:
        raise BadAddress(url)
    if parts.netloc:
        raise BadAddress(url, advice='The path must be absolute: three slashes, as in leveldb:///var/lib/app/jobs.')
    if parts.fragment:
        raise BadAddress(url, advice='Write # in a path as %23, and ? as %3F.')
    path = unquote(parts.path, errors='surrogateescape')
    if '\0' in path:
        raise BadAddress(url, advice='A path cannot contain a zero byte.')
    if path in ('', '/'):
        directory = default_directory(environ)
    elif path.startswith('/~'):
        directory = _expand(path[1:])
    else:
        directory = Path(os.path.normpath(path))
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    fsync = options.pop('fsync', None)
    if fsync is not None and fsync not in FSYNC_POLICIES:
        raise BadAddress(url, advice=f'fsync is one of {", ".join(FSYNC_POLICIES)}.')
    db = options.pop('db', '0')
    if db not in map(str, range(DATABASES)):
        raise BadAddress(url, advice=f'db is a number (0 to {DATABASES - 1}).')
    try:
        idle = float(options.pop('idle', DEFAULT_IDLE))
    except ValueError:
        idle = math.nan
    if not is_duration(idle):
        raise BadAddress(url, advice='idle is a number (seconds, 0 for never).')
    return Location(DataDirectory(directory), int(db), fsync, idle, options)


def is_duration(seconds: float) -> bool:
    """Return whether a number of seconds is finite and not negative."""
    return 0 <= seconds < math.inf


def parse_store(url: str | None) -> Location:
    """Read a URL for a command that only works on stores.

    Args:
        url: as `parse`.

    Raises:
        BadAddress: as `parse`, or it is the URL of a Redis server.
    """
    if url is not None and is_redis_url(url):
        raise BadAddress(
            url,
            title='This command only works on stores, and this is the URL of a Redis server',
            advice='Start and stop the server with its own tools, or name a store: --url leveldb:///absolute/path.',
        )
    return parse(url)
