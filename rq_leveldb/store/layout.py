"""The CONFIG parameters for the sizes up to which Redis encodes values compactly.

Clients set them and read them back. Here they affect only the names that OBJECT ENCODING reports, not how the data is
stored in LevelDB. See https://redis.io/docs/latest/operate/oss_and_stack/management/config/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rq_leveldb.store.arguments import MAX_INTEGER, is_integer

_UNITS = {'': 1, 'b': 1, 'k': 1000, 'kb': 1 << 10, 'm': 10**6, 'mb': 1 << 20, 'g': 10**9, 'gb': 1 << 30}
_MEMORY = re.compile(r'([0-9]*)([a-z]*)', re.I)
_MAX_INT = (1 << 31) - 1


@dataclass(frozen=True)
class Layout:
    """The parameters, named as in CONFIG except for the dashes; numbers of elements, or bytes of one element.

    Attributes:
        list_max_listpack_size: elements if positive; -1 to -5 stand for 4, 8, 16, 32 and 64 KiB.
    """

    hash_max_listpack_entries: int = 512
    hash_max_listpack_value: int = 64
    list_compress_depth: int = 0
    list_max_listpack_size: int = -2
    set_max_intset_entries: int = 512
    set_max_listpack_entries: int = 128
    set_max_listpack_value: int = 64
    stream_node_max_bytes: int = 4096
    stream_node_max_entries: int = 100
    zset_max_listpack_entries: int = 128
    zset_max_listpack_value: int = 64

    def parameters(self) -> dict[str, str]:
        """Return what CONFIG GET shows, including the names of Redis 6."""
        shown = {name.replace('_', '-'): str(value) for name, value in vars(self).items()}
        shown.update({_old(name): value for name, value in shown.items() if _old(name) != name})
        return shown

    def list_limits(self) -> tuple[int, int]:
        """Return the numbers of elements and bytes up to which a list is one listpack."""
        size = self.list_max_listpack_size
        return (MAX_INTEGER, 2048 << min(-size, 5)) if size < 0 else (max(size, 1), 8192)

    def trimming_limit(self) -> int:
        """Return how many entries XADD and XTRIM remove at most for ``~`` without LIMIT."""
        return min(100 * self.stream_node_max_entries, 1_000_000) or 10_000

    def changed(self, parameter: str, text: str) -> Layout:
        """Return the layout after CONFIG SET.

        Args:
            parameter: one of `parameters`, in lower case.
            text: the parameter's new value, as the client sent it.

        Raises:
            ValueError: the value is invalid; says what it has to be, in Redis's words.
        """
        name = parameter.replace('ziplist', 'listpack').replace('-', '_')
        number = _memory(text) if name in _MEMORY_VALUES else _integer(text)
        least, most = _RANGES.get(name, (0, MAX_INTEGER))
        if not least <= number <= most:
            if name in _RANGES:
                raise ValueError(f'argument must be between {least} and {most} inclusive')
            raise ValueError('argument must be greater or equal to 0')
        return replace(self, **{name: number})


_MEMORY_VALUES = frozenset(('hash_max_listpack_value', 'stream_node_max_bytes', 'zset_max_listpack_value'))
_RANGES = {
    'list_compress_depth': (0, _MAX_INT),
    'list_max_listpack_size': (-_MAX_INT - 1, _MAX_INT),
    'stream_node_max_entries': (0, MAX_INTEGER),
}


def _old(name: str) -> str:
    return name if name.startswith('set-') else name.replace('listpack', 'ziplist')


def _memory(text: str) -> int:
    match = _MEMORY.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError('argument must be a memory value')
    number = int(match[1] or 0) * _UNITS[match[2].lower()]
    # Redis reads a number that is too large as negative.
    return number if number <= MAX_INTEGER else -1


def _integer(text: str) -> int:
    if not is_integer(text.encode('latin-1')):
        raise ValueError("argument couldn't be parsed into an integer")
    return int(text)
