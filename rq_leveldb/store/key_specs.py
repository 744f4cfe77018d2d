"""The keys of a command and how it uses them, by the key specifications that Redis publishes.

https://redis.io/docs/latest/develop/reference/key-specs
"""

from __future__ import annotations

from typing import Any

from rq_leveldb.store.arguments import Options, is_integer

Spec = dict[str, Any]
Found = list[tuple[bytes, list[str]]]


def has_keys(specs: list[Spec]) -> bool:
    """Return whether a command can have keys at all; the channels of SPUBLISH and the like are not keys."""
    return any('not_key' not in spec['flags'] for spec in specs)


def find_keys(name: str, specs: list[Spec], argv: list[bytes]) -> Found:
    """Return the keys, each with its flags; none if the arguments allow none.

    Args:
        name: the command's, in lower case.
        specs: its key specifications, as COMMAND INFO has them.
        argv: all of its arguments, the name first.
    """
    found: Found = []
    for spec in specs:
        if 'not_key' in spec['flags'] or spec['begin_search']['type'] == 'unknown':
            continue
        first = _first(spec['begin_search'], argv)
        if first is None:
            continue
        positions = _positions(spec['find_keys'], first, argv)
        if not positions or positions[-1] >= len(argv):
            return []
        found += [(argv[position], spec['flags']) for position in positions]
    if name == 'set':
        return [(found[0][0], _set_flags(argv))]
    if name == 'sort':
        found += _stored_by_sort(argv)
    return found


def _first(search: dict[str, Any], argv: list[bytes]) -> int | None:
    where = search['spec']
    if search['type'] == 'index':
        return int(where['index'])
    keyword = where['keyword'].encode()
    start = where['startfrom']
    places = range(start, len(argv)) if start > 0 else range(len(argv) + start, 0, -1)
    return next((at + 1 for at in places if argv[at].upper() == keyword), None)


def _positions(how: dict[str, Any], first: int, argv: list[bytes]) -> range:
    spec = how['spec']
    step = spec['keystep']
    if how['type'] == 'keynum':
        at = first + spec['keynumidx']
        if at >= len(argv) or not is_integer(argv[at]):
            return range(0)
        first += spec['firstkey']
        return range(first, first + int(argv[at]) * step, step)
    last, limit = spec['lastkey'], spec['limit']
    if last >= 0:
        end = first + last
    elif limit:
        end = first + (len(argv) - first) // limit + last
    else:
        end = len(argv) + last
    return range(first, end + 1, step)


def _set_flags(argv: list[bytes]) -> list[str]:
    # What its specification leaves open.
    return ['RW', 'access', 'update'] if b'GET' in map(bytes.upper, argv[3:]) else ['OW', 'update']


def _stored_by_sort(argv: list[bytes]) -> Found:
    # Likewise: no specification can say where STORE is, since BY and GET may be followed by any word.
    found: Found = []
    options = Options(argv, 2)
    for option in options:
        if option == b'STORE' and options.left():
            found = [(argv[-options.left()], ['OW', 'update'])]
        options.values(min({b'LIMIT': 2, b'GET': 1, b'BY': 1}.get(option, 0), options.left()))
    return found
