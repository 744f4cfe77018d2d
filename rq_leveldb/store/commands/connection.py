"""Commands of the connection group."""

from __future__ import annotations

import time
from itertools import compress

from rq_leveldb.store.arguments import Options, database, integer, is_integer, milliseconds
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.commands.rows import always, container, row
from rq_leveldb.store.context import Context
from rq_leveldb.store.info import REDIS_VERSION
from rq_leveldb.store.replies import (
    OK,
    PONG,
    Reply,
    ReplyError,
    SetReply,
    Status,
    Verbatim,
    shown,
    syntax_error,
    wrong_arity,
    wrong_usage,
)
from rq_leveldb.version import __version__


def ping(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 2:
        raise wrong_arity('ping')
    if ctx.client.subscribed and not ctx.resp3:
        return [b'pong', argv[1] if len(argv) == 2 else b'']
    return argv[1] if len(argv) == 2 else PONG


def echo(ctx: Context, argv: list[bytes]) -> Reply:
    return argv[1]


def quit_(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.client.close()
    return OK


def select(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.db = ctx.client.db = database(argv[1])
    return OK


def auth(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    if len(argv) == 2:
        raise ReplyError(
            'ERR AUTH <password> called without any password configured for the default user. '
            'Are you sure your configuration is correct?'
        )
    _authenticate(argv[1])
    return OK


def _authenticate(user: bytes) -> None:
    # As a Redis without ACLs: the default user has no password and every password is right.
    if user != b'default':
        raise ReplyError('WRONGPASS invalid username-password pair or user is disabled.')


def hello(ctx: Context, argv: list[bytes]) -> Reply:
    client = ctx.client
    protocol, name = client.protocol, client.name
    if len(argv) > 1:
        protocol = integer(argv[1], 'ERR Protocol version is not an integer or out of range')
        if protocol not in (2, 3):
            raise ReplyError('NOPROTO unsupported protocol version')
    options = Options(argv, 2)
    for option in options:
        if option == b'AUTH' and options.left() >= 2:
            user, _ = options.values(2)
            _authenticate(user)
        elif option == b'SETNAME' and options.left():
            name = options.value()
            _check_printable(name)
        else:
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown(options.last())}'")
    client.protocol, client.name = protocol, name
    ctx.resp3 = protocol == 3
    return {
        b'server': b'redis',
        b'version': REDIS_VERSION.encode(),
        b'proto': protocol,
        b'id': client.number,
        b'mode': b'standalone',
        b'role': b'master',
        b'modules': [],
        # By this a newer client knows a store that an older version left running.
        b'rq_leveldb_version': __version__.encode(),
    }


def reset(ctx: Context, argv: list[bytes]) -> Reply:
    client = ctx.client
    ctx.services.watches.end_transaction(client)
    ctx.services.pubsub.leave(client)
    client.protocol = 2
    client.name = b''
    client.monitor = False
    ctx.services.monitor(client, False)
    ctx.resp3 = False
    ctx.db = client.db = 0
    return Status(b'RESET')


# -- CLIENT


def _check_printable(text: bytes, what: str = 'Client names') -> None:
    if any(not 33 <= byte <= 126 for byte in text):
        raise ReplyError(f'ERR {what} cannot contain spaces, newlines or special characters.')


def client_id(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.client.number


def client_getname(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.client.name or None


def client_setname(ctx: Context, argv: list[bytes]) -> Reply:
    _check_printable(argv[2])
    ctx.client.name = argv[2]
    return OK


def client_setinfo(ctx: Context, argv: list[bytes]) -> Reply:
    option = shown(argv[2]).lower()
    attribute = {'lib-name': 'library', 'lib-ver': 'library_version'}.get(option)
    if attribute is None:
        raise ReplyError(f"ERR Unrecognized option '{shown(argv[2])}'")
    _check_printable(argv[3], option)
    setattr(ctx.client, attribute, argv[3])
    return OK


def client_info(ctx: Context, argv: list[bytes]) -> Reply:
    return Verbatim(describe(ctx.client, ctx.client) + b'\n')


def describe(state: ClientState, asking: ClientState) -> bytes:
    """Return a client's line of CLIENT LIST."""
    now = time.monotonic()
    queued = len(state.queue) if state.queue is not None else -1
    flags = (state.blocked, state.dirty, state.monitor, state.subscribed, queued >= 0, not _is_tcp(state))
    letters = bytes(compress(b'bdOPxU', flags))
    return (
        b'id=%d addr=%b laddr=%b fd=%d name=%b age=%d idle=%d flags=%b db=%d sub=%d psub=%d ssub=%d multi=%d '
        b'watch=%d qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=%d tot-mem=0 events=r '
        b'cmd=%b user=default redir=-1 resp=%d lib-name=%b lib-ver=%b pid=%d'
    ) % (
        state.number,
        state.address.encode(),
        _local_address(state),
        state.descriptor,
        _unequal(state.name),
        int(now - state.created),
        0 if state is asking else int(now - state.last_active),
        letters or b'N',
        state.db,
        len(state.channels),
        len(state.patterns),
        len(state.shard_channels),
        queued,
        len(state.watched),
        state.unsent_bytes(),
        state.last_command.encode(),
        state.protocol,
        _unequal(state.library),
        _unequal(state.library_version),
        state.pid,
    )


def _unequal(name: bytes) -> bytes:
    # Redis allows it, and redis-py cannot read what Redis then answers.
    return name.replace(b'=', b'%3D')


def _is_tcp(state: ClientState) -> bool:
    return not state.address.endswith(':0')


def _local_address(state: ClientState) -> bytes:
    return b'127.0.0.1:0' if _is_tcp(state) else state.address.encode()


def _type_of(state: ClientState) -> bytes:
    return b'pubsub' if state.subscribed else b'normal'


def _client_type(argument: bytes) -> bytes:
    if argument.lower() not in (b'normal', b'pubsub', b'master', b'replica', b'slave'):
        raise ReplyError(f"ERR Unknown client type '{shown(argument)}'")
    return argument.lower()


def client_list(ctx: Context, argv: list[bytes]) -> Reply:
    clients = list(ctx.services.clients.values())
    if len(argv) == 4 and argv[2].lower() == b'type':
        kind = _client_type(argv[3])
        clients = [state for state in clients if _type_of(state) == kind]
    elif len(argv) > 3 and argv[2].lower() == b'id':
        numbers = [integer(argument, 'ERR Invalid client ID') for argument in argv[3:]]
        clients = [ctx.services.clients[number] for number in numbers if number in ctx.services.clients]
    elif len(argv) != 2:
        raise syntax_error()
    return Verbatim(b''.join(describe(state, ctx.client) + b'\n' for state in clients))


_KILL_FILTERS = frozenset((b'ID', b'ADDR', b'LADDR', b'TYPE', b'USER', b'SKIPME', b'MAXAGE'))


def client_kill(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3:
        for state in ctx.services.clients.values():
            if state.address.encode() == argv[2]:
                state.close()
                return OK
        raise ReplyError('ERR No such client')
    filters: dict[bytes, bytes] = {}
    options = Options(argv, 2)
    for option in options:
        if option not in _KILL_FILTERS:
            raise syntax_error()
        filters[option] = options.value()
    number = age = kind = None
    if b'ID' in filters:
        number = int(filters[b'ID']) if is_integer(filters[b'ID']) else 0
        if number <= 0:
            raise ReplyError('ERR client-id should be greater than 0')
    if b'MAXAGE' in filters:
        age = integer(filters[b'MAXAGE'], 'ERR maxage is not an integer or out of range')
        if age <= 0:
            raise ReplyError('ERR maxage should be greater than 0')
    skip = filters.get(b'SKIPME', b'yes').lower()
    if skip not in (b'yes', b'no'):
        raise syntax_error()
    user = filters.get(b'USER', b'default')
    if user != b'default':
        raise ReplyError(f"ERR No such user '{shown(user)}'")
    if b'TYPE' in filters:
        kind = _client_type(filters[b'TYPE'])
    killed = 0
    for state in list(ctx.services.clients.values()):
        if (
            (number is None or state.number == number)
            and (b'ADDR' not in filters or state.address.encode() == filters[b'ADDR'])
            and (b'LADDR' not in filters or _local_address(state) == filters[b'LADDR'])
            and (kind is None or _type_of(state) == kind)
            and (age is None or time.monotonic() - state.created >= age)
            and not (skip == b'yes' and state is ctx.client)
        ):
            state.close()
            killed += 1
    return killed


def client_unblock(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 4:
        raise wrong_usage(argv)
    reason = argv[3].lower() if len(argv) == 4 else b'timeout'
    if reason not in (b'timeout', b'error'):
        raise ReplyError('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR')
    state = ctx.services.clients.get(integer(argv[2]))
    return int(state is not None and ctx.services.unblock(state, reason == b'error'))


def client_no_evict(ctx: Context, argv: list[bytes]) -> Reply:
    if argv[2].lower() not in (b'on', b'off'):
        raise syntax_error()
    return OK


def client_reply(ctx: Context, argv: list[bytes]) -> Reply:
    if argv[2].lower() not in (b'on', b'off', b'skip'):
        raise syntax_error()
    if argv[2].lower() != b'on':
        raise ReplyError('ERR this store always replies: CLIENT REPLY OFF and SKIP are not supported')
    return OK


def client_tracking(ctx: Context, argv: list[bytes]) -> Reply:
    if argv[2].lower() == b'off':
        return OK
    raise ReplyError('ERR this store does not track keys: client side caching is not supported')


def client_caching(ctx: Context, argv: list[bytes]) -> Reply:
    raise ReplyError(
        'ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled'
    )


_TRACKING_INFO = {b'flags': SetReply([b'off']), b'redirect': -1, b'prefixes': []}


def client_pause(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 4:
        raise wrong_usage(argv)
    mode = argv[3].lower() if len(argv) == 4 else b'all'
    if mode not in (b'write', b'all'):
        raise ReplyError('ERR CLIENT PAUSE mode must be WRITE or ALL')
    ctx.services.pause(milliseconds(argv[2], ctx.now), mode == b'all')
    return OK


def client_unpause(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.services.unpause()
    return OK


_CLIENT = 'noscript loading stale never_refused'

COMMANDS = (
    row('ping', ping, -1, 'fast in_subscription in_snapshot'),
    row('echo', echo, 2, 'fast loading stale'),
    row('quit', quit_, -1, 'noscript loading stale fast no_auth allow_busy in_subscription skip_queue'),
    row('select', select, 2, 'loading stale fast never_refused'),
    row('auth', auth, -2, 'noscript loading stale fast no_auth allow_busy never_refused'),
    row('hello', hello, -1, 'noscript loading stale fast no_auth allow_busy not_queued never_refused'),
    row('reset', reset, 1, 'noscript loading stale fast no_auth allow_busy in_subscription skip_queue'),
    container(
        'client',
        row('id', client_id, 2, _CLIENT),
        row('getname', client_getname, 2, _CLIENT),
        row('setname', client_setname, 3, _CLIENT),
        row('setinfo', client_setinfo, 4, _CLIENT),
        row('info', client_info, 2, _CLIENT),
        row('list', client_list, -2, f'admin {_CLIENT}'),
        row('kill', client_kill, -3, f'admin {_CLIENT}'),
        row('unblock', client_unblock, -3, f'admin {_CLIENT}'),
        row('pause', client_pause, -3, f'admin {_CLIENT}'),
        row('unpause', client_unpause, 2, f'admin {_CLIENT}'),
        row('no-evict', client_no_evict, 3, f'admin {_CLIENT}'),
        row('no-touch', client_no_evict, 3, _CLIENT),
        row('reply', client_reply, 3, _CLIENT),
        row('tracking', client_tracking, -3, _CLIENT),
        row('caching', client_caching, 3, _CLIENT),
        row('trackinginfo', always(_TRACKING_INFO), 2, _CLIENT),
        row('getredir', always(-1), 2, _CLIENT),
        flags='never_refused',
    ),
)
