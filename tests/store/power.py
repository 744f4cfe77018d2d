"""What is left on the disk when the power goes: only what was synced, by the strict reading of POSIX.

From strace's record of a process we know how long each file was when it was last synced, and which names its directory
had when that was last synced. LevelDB's files only grow, so cutting copies of them to those lengths gives what a disk
may hold at the worst. (A disk may also hold more; that case is a kill.)
"""

from __future__ import annotations

import re
from pathlib import Path

TRACE = (
    'strace',
    '-f',
    '-qq',
    '-y',
    '-s',
    '0',
    '-e',
    'trace=openat,write,pwrite64,writev,fsync,fdatasync,rename,unlink',
)
_LINE = re.compile(r'(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)')
_DESCRIPTOR = re.compile(r'\d+<([^>]*)>')
_PATHS = re.compile(r'"([^"]*)"')
_RESULT = re.compile(r' = (-?\d+)(?:<[^>]*>)?[^=]*$')


class Disk:
    """What strace saw happen to the files below a directory.

    :param root: the directory; whatever is elsewhere does not count
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.length: dict[Path, int] = {}
        self.synced: dict[Path, int] = {}
        self.names: set[Path] = set()
        self.synced_names: set[Path] = set()
        self._begun: dict[tuple[str, str], tuple[str, int, set[Path]]] = {}

    def replay(self, trace: Path) -> None:
        for line in trace.read_text(errors='replace').splitlines():
            match = _LINE.match(line)
            if match is None:
                continue
            process, resumed, called, rest = match.groups()
            name = resumed or called
            if called:
                self._begin(process, name, rest)
            if '<unfinished' in line:
                continue
            result = _RESULT.search(rest)
            begun = self._begun.pop((process, name), None)
            if result is not None and begun is not None and int(result[1]) >= 0:
                self._end(name, begun, int(result[1]))

    def _begin(self, process: str, name: str, rest: str) -> None:
        # A sync covers what was written before it began, not before it ended.
        path = self._synced_path(rest)
        length = self.length.get(path, 0) if path else 0
        self._begun[process, name] = (rest, length, set(self.names))

    def _synced_path(self, rest: str) -> Path | None:
        found = _DESCRIPTOR.match(rest)
        return Path(found[1]) if found else None

    def _end(self, name: str, begun: tuple[str, int, set[Path]], result: int) -> None:
        rest, length, names = begun
        if name in ('fsync', 'fdatasync'):
            path = self._synced_path(rest)
            if path is None:
                return
            if path in self.length:
                self.synced[path] = max(length, self.synced.get(path, 0))
            else:
                self.synced_names -= {one for one in self.synced_names if one.parent == path}
                self.synced_names |= {one for one in names if one.parent == path}
        elif name in ('write', 'pwrite64', 'writev'):
            path = self._synced_path(rest)
            if path is not None and self.root in path.parents:
                self.length[path] = self.length.get(path, 0) + result
        else:
            paths = [Path(one) for one in _PATHS.findall(rest)]
            if not paths or self.root not in paths[0].parents:
                return
            if name == 'openat' and 'O_CREAT' in rest:
                self.names.add(paths[0])
                self.length.setdefault(paths[0], 0)
                if 'O_TRUNC' in rest:
                    self.length[paths[0]] = self.synced[paths[0]] = 0
            elif name == 'unlink':
                self.names.discard(paths[0])
            elif name == 'rename':
                self.names.discard(paths[0])
                self.names.add(paths[1])
                for lengths in (self.length, self.synced):
                    lengths[paths[1]] = lengths.pop(paths[0], 0)

    def left_over(self, target: Path) -> None:
        """Copy what a power cut leaves to `target`, which stands for the root."""
        for path in sorted(self.synced_names & self.names):
            copy = target / path.relative_to(self.root)
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(path, 'rb') as file:
                copy.write_bytes(file.read(self.synced.get(path, 0)))
