"""The lines that MONITOR shows."""

from __future__ import annotations

from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Status

_ESCAPES = {
    0x22: b'\\"',
    0x5C: b'\\\\',
    0x0A: b'\\n',
    0x0D: b'\\r',
    0x09: b'\\t',
    0x07: b'\\a',
    0x08: b'\\b',
}
_SHOWN = [_ESCAPES.get(byte) or (b'%c' if 32 <= byte < 127 else b'\\x%02x') % byte for byte in range(256)]


def line(ctx: Context, argv: list[bytes]) -> Status:
    """Return a command's time, database, client and arguments in Redis's format, without passwords."""
    address = ctx.client.address
    origin = 'lua' if ctx.in_script else f'unix:{address[:-2]}' if address.endswith(':0') else address
    seconds, microseconds = divmod(ctx.keys.clock // 1000, 1_000_000)
    words = b' '.join(b'"%b"' % b''.join(map(_SHOWN.__getitem__, word)) for word in _without_passwords(argv))
    return Status(b'%d.%06d [%d %b] %b' % (seconds, microseconds, ctx.db, origin.encode(), words))


def _without_passwords(argv: list[bytes]) -> list[bytes]:
    name = argv[0].lower()
    if name == b'auth':
        return [argv[0], *(b'(redacted)' for _ in argv[1:])]
    if name != b'hello':
        return argv
    words = list(argv)
    for index, word in enumerate(argv):
        if word.lower() == b'auth':
            words[index + 1 : index + 3] = [b'(redacted)'] * len(words[index + 1 : index + 3])
    return words
