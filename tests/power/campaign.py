"""Cuts of the power at many points of a recorded load: where, what is due there, and what became of it, as a table."""

from __future__ import annotations

import enum
import multiprocessing
import os
import shutil
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.power.apart import Ended, apart
from tests.power.disk import Disk
from tests.power.judge import FAULTS, Judgement, judge, started_anew, units
from tests.power.load import DATA, HOLDS, IDLE, STARTED, STOPPED, Recording
from tests.power.models import MODELS, rebuild
from tests.power.recorder import TICK, Kind, Note, read
from tests.power.server import Server
from tests.power.units import TAG, History

SLACK = 0.25
"""Seconds by which everysec may be late: time is counted in a store's own ticks, which are late on a busy machine."""

_PAUSE = 0.005
_FIRST_LOG = '000003.log'
_SLICE = 40
PROCESSES = min(os.cpu_count() or 1, 8)


@dataclass(frozen=True)
class Verdict:
    """What became of one cut.

    Args:
        cut: the number of the note behind which the power went.
        faults: kinds of faults and an example of each.
        age: seconds since the first acknowledgement of what is missing, promised or not; 0 if nothing is.
        mended: whether what could not be opened was mended by a tool of the store's own, None if not tried.
    """

    model: str
    cut: int
    faults: dict[str, str]
    age: float = 0.0
    mended: bool | None = None


@dataclass
class Table:
    """Verdicts, counted for each setting and model.

    Attributes:
        ages: seconds, the longest for each setting and model.
    """

    rows: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    ages: dict[tuple[str, str], float] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, recording: Recording, verdict: Verdict) -> None:
        place = recording.fsync, verdict.model
        row = self.rows.setdefault(place, Counter())
        row['cuts'] += 1
        row['mended'] += verdict.mended is True
        row.update(verdict.faults.keys())
        self.ages[place] = max(self.ages.get(place, 0.0), verdict.age)
        where = f'{recording.fsync} {verdict.model}, seed {recording.seed}, cut {verdict.cut}'
        self.examples += [f'{where}: {kind}: {text}' for kind, text in verdict.faults.items()]

    def found(self) -> int:
        """Return how many faults there were."""
        return sum(row[kind] for row in self.rows.values() for kind in FAULTS)

    def __str__(self) -> str:
        heads = ('cuts', *FAULTS)
        lines = [f'{"fsync":<10}{"model":<11}' + ''.join(f'{head:>12}' for head in heads)]
        for (fsync, model), row in sorted(self.rows.items()):
            lines.append(f'{fsync:<10}{model:<11}' + ''.join(f'{row[head]:>12}' for head in heads))
        return '\n'.join(lines)


@dataclass(frozen=True)
class Course:
    """What a record says as a whole, known before it is followed.

    Args:
        longest: seconds of the longest sync.
        limits: for each start of a store in turn, how many units those after it have of what it had; None: all.
    """

    longest: float
    limits: tuple[int | None, ...]

    @classmethod
    def of(cls, notes: Sequence[Note]) -> Course:
        limits: list[int | None] = []
        open_from = 0
        for note in notes:
            if note.kind is Kind.MARK and note.path == STARTED:
                limits.append(None)
            elif note.kind is Kind.MARK and note.path.startswith(HOLDS):
                limits[open_from:-1] = [int(note.path[len(HOLDS) :])] * (len(limits) - 1 - open_from)
                open_from = len(limits) - 1
        return cls(longest_sync(notes), tuple(limits))


class Due:
    """How much of a history must be there whenever the power goes, by what its store has promised so far.

    Args:
        fsync: always or everysec.
        kept: how many units there were on the disk at first.

    Attributes:
        acknowledged: how many units were.
        broken: units that were acknowledged and lost without a loss of power, against the promise.
    """

    def __init__(self, history: History, fsync: str, server: Server, course: Course, kept: int) -> None:
        self.acknowledged = kept
        self.broken: list[str] = []
        self._history = history
        self._server = server
        self._limits = iter(course.limits)
        self._limit: int | None = None
        self._bound = 0.0 if fsync == 'always' else server.everysec + course.longest + SLACK
        self._times: list[float] = []
        self._counts: list[int] = []
        self._first = 0  # earlier ones are no matter of time: they were settled by a start
        self._floor = self._earlier = kept
        self._now = 0.0
        self._streams: dict[int, bytes] = {}
        self._gone: list[tuple[float, str]] = []  # acknowledged by this store, unknown to the next

    def follow(self, note: Note) -> None:
        if note.kind is Kind.TICK:
            self._now += TICK
        elif note.kind is Kind.MARK:
            self._mark(note.path)
        elif note.kind is Kind.SENT:
            if self._server.settled_at_start:
                # A store that answers has brought into tables what those before it left.
                self._floor = max(self._floor, self._earlier)
            text = self._streams.get(note.position, b'') + note.data
            end = 0
            for tag in TAG.finditer(text):
                end = tag.end()
                self._acknowledge(f'{int(tag[1])}:{int(tag[2])}', self._now)
            self._streams[note.position] = text[end:][-40:]

    def _mark(self, text: str) -> None:
        if text == STOPPED:
            self._floor = self.acknowledged
        elif text == STARTED:
            if self._gone and (self._server.kept_at_kill or self._overdue(self._gone[0][0])):
                self.broken += [name for _, name in self._gone]
            self._gone.clear()
            self._limit = next(self._limits)
            self._streams.clear()
            if self._server.settled_at_start:
                self._floor = self.count()
                self._earlier = self.acknowledged
                self._first = len(self._times)

    def _acknowledge(self, name: str, when: float) -> None:
        position = self._history.position.get(name)
        if position is None or (self._limit is not None and position >= self._limit):
            self._gone.append((when, name))
        elif position >= self.acknowledged:
            self.acknowledged = position + 1
            self._times.append(when)
            self._counts.append(self.acknowledged)

    def _overdue(self, when: float) -> bool:
        return self._now - when >= self._bound

    def count(self) -> int:
        """Return how many units must be there if the power goes now."""
        index = bisect_right(self._times, self._now - self._bound)
        return max(self._floor, self._counts[index - 1] if index > self._first else 0)

    def lost(self, loses_power: bool) -> str:
        """Return a unit that is lost whatever the disk holds, against the promise; empty if there is none.

        Args:
            loses_power: whether the machine stops, or only the process.
        """
        if self._gone and (self._overdue(self._gone[0][0]) or (self._server.kept_at_kill and not loses_power)):
            return self._gone[0][1]
        return ''

    def age(self, there: int) -> float:
        """Return the seconds since something was acknowledged that is missing.

        Args:
            there: how many units are there.
        """
        index = bisect_right(self._counts, there)
        times = [*self._times[index : index + 1], *(when for when, _ in self._gone[:1])]
        return self._now - min(times, default=self._now)


def longest_sync(notes: Sequence[Note]) -> float:
    """Return the seconds of the longest run of syncs that one thread made without a pause."""
    longest = 0.0
    runs: dict[int, tuple[float, float]] = {}
    for note in notes:
        if note.kind is Kind.SYNC_BEGUN:
            start, end = runs.get(note.position, (note.time, note.time))
            runs[note.position] = (start if note.time - end < _PAUSE else note.time, note.time)
        elif note.kind is Kind.SYNCED:
            start, _ = runs[note.position]
            runs[note.position] = (start, note.time)
            longest = max(longest, note.time - start)
    return longest


class Where(enum.Enum):
    """Where the power goes, with the share that each place has by itself."""

    ANYWHERE = 40
    BEHIND_REPLIES = 30
    AFTER_NAMES = 15
    AFTER_LOG_SWITCHES = 5
    AT_FIRST = 10


_AFTER = {Where.AFTER_NAMES: 10, Where.AFTER_LOG_SWITCHES: 60}
"""How many notes later the power goes, on average."""


def choose(notes: Sequence[Note], count: int, chance: Random, where: Where | None = None) -> list[int]:
    """Choose the notes behind which the power goes.

    Args:
        notes: the whole record.
        count: how many to choose.
        chance: decides which.
        where: choose only there; None for everywhere.

    Returns:
        Numbers of notes, in order.
    """
    names = (Kind.CREATED, Kind.RENAMED, Kind.UNLINKED)
    kinds = [note.kind for note in notes]
    logs = [index for index, note in enumerate(notes) if note.kind is Kind.CREATED and note.path.endswith('.log')]
    places: dict[Where, Sequence[int]] = {
        Where.ANYWHERE: range(len(notes)),
        Where.BEHIND_REPLIES: [index for index, kind in enumerate(kinds) if kind is Kind.SENT],
        Where.AFTER_NAMES: [index for index, kind in enumerate(kinds) if kind in names],
        Where.AFTER_LOG_SWITCHES: [index for index in logs if not notes[index].path.endswith(_FIRST_LOG)],
        Where.AT_FIRST: range(kinds.index(Kind.SENT) if Kind.SENT in kinds else len(notes)),
    }
    among = [one for one in places if places[one] and where in (None, one)]
    cuts = [] if where else [index for index, note in enumerate(notes) if note.path == IDLE]
    while len(cuts) < count:
        (one,) = chance.choices(among, [one.value for one in among])
        later = int(chance.expovariate(1 / _AFTER[one])) if one in _AFTER else 0
        cuts.append(min(chance.choice(places[one]) + later, len(notes) - 1))
    return sorted(cuts)


def examine(
    recording: Recording, cuts: Sequence[int], models: Sequence[str], course: Course, where: Path
) -> list[Verdict]:
    """Rebuild and judge; runs in a process of its own.

    Args:
        recording: what the load left.
        cuts: numbers of notes, in order.
        models: names of models.
        course: what its record says as a whole.
        where: a directory for the rebuilt disks.
    """
    verdicts = []
    history = History(recording.seed, recording.history)
    history.contents(len(history.names))  # once, and not in each of the processes that judge
    for cut, disk, due in follow(recording, history, cuts, course):
        if due.broken:
            # The store lost it although the power never went: it was killed or stopped.
            verdicts.append(Verdict('killed', cut, {'lost': f'{due.broken[0]} was acknowledged and is nowhere'}))
            due.broken.clear()
        for name in models:
            model = MODELS[name](disk, Random(f'{recording.seed}:{cut}:{name}'))
            with scratch(where) as target:
                rebuild(model, target)
                started_anew(target / DATA, model.loses_power)
                verdicts.append(_verdict(recording, history, name, cut, due, target / DATA))
    return verdicts


def _verdict(recording: Recording, history: History, model: str, cut: int, due: Due, data: Path) -> Verdict:
    server = recording.server
    loses_power = MODELS[model].loses_power
    at_least = due.count() if loses_power or not server.kept_at_kill else due.acknowledged
    work = partial(judge, data, history, at_least, server)
    try:
        judgement = apart(work)
    except Ended as error:
        judgement = Judgement(faults={'unopenable': str(error)})
    mended: bool | None = None
    if judgement.there is None and 'unopenable' in judgement.faults:
        mended = server.mend(data)
        if mended:
            after = apart(work)
            mended = after.there is not None
            judgement.faults |= {f'{kind}': f'when mended: {text}' for kind, text in after.faults.items() if mended}
            judgement.there = after.there
    gone = due.lost(loses_power)
    if gone:
        judgement.faults.setdefault('lost', f'{gone} was acknowledged and never written')
    age = 0.0 if judgement.there is None else due.age(judgement.there)
    return Verdict(model, cut, judgement.faults, age, mended)


def ended(recording: Recording) -> Verdict:
    """Return what became of a load's store without any loss of power, at the end of the record."""
    notes = [Note(note.kind, note.position, 0, note.time, note.path, b'') for note in read(recording.record)]
    with scratch() as place:
        return examine(recording, [len(notes) - 1], ['killed'], Course.of(notes), place)[-1]


def leave(recording: Recording, model: str, chance: Random, target: Path) -> int:
    """Put on a disk what one cut leaves there.

    Args:
        recording: what the load left.
        model: the name of a model.
        chance: decides where the cut is, and what is left.
        target: a new directory.

    Returns:
        How many units a store finds on it, 0 also if it finds less than was due or a fault.
    """
    notes = list(read(recording.record))
    cut = chance.randrange(len(notes))
    history = History(recording.seed, recording.history)
    server = recording.server
    for _, disk, due in follow(recording, history, [cut], Course.of(notes)):
        left = MODELS[model](disk, chance)
        target.mkdir(mode=0o700)
        rebuild(left, target)
        started_anew(target / DATA, left.loses_power)
        with scratch() as copy:
            shutil.copytree(target, copy, dirs_exist_ok=True)
            faulty = judge(copy / DATA, history, due.count(), server).faults
            return 0 if faulty else units(copy / DATA, server)
    raise AssertionError('the record is shorter than it was')


def follow(
    recording: Recording, history: History, cuts: Sequence[int], course: Course
) -> Iterator[tuple[int, Disk, Due]]:
    """Return the number of each cut with the disk at that moment and what is due."""
    disk = Disk(str(recording.root))
    disk.adopt(recording.base, recording.inodes)
    due = Due(history, recording.fsync, recording.server, course, recording.kept)
    left = iter(cuts)
    cut = next(left, -1)
    for index, note in enumerate(read(recording.record)):
        disk.follow(note)
        due.follow(note)
        while index == cut:
            yield cut, disk, due
            cut = next(left, -1)
        if cut < 0:
            return


@contextmanager
def scratch(where: Path | None = None) -> Iterator[Path]:
    """A directory for the time being, in memory where there is such a place: nothing of a rebuilt disk has to last.

    Args:
        where: a directory that is removed later; what a database that cannot be read still writes is left there.
    """
    memory = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix='power-', dir=where or memory, ignore_cleanup_errors=where is not None
    ) as name:
        yield Path(name)


def run(
    recording: Recording,
    cuts: int,
    models: Sequence[str] = tuple(MODELS),
    table: Table | None = None,
    progress: Callable[[int], None] = lambda done: None,
    where: Where | None = None,
) -> Table:
    """Cut the power of a recorded load, the same cuts for each model.

    Args:
        recording: what the load left.
        cuts: how many for each model.
        models: names of models.
        table: where the verdicts go.
        progress: told how many cuts were judged, again and again.
        where: cut only there; None for everywhere.
    """
    table = table or Table()
    notes = [Note(note.kind, note.position, 0, note.time, note.path, b'') for note in read(recording.record)]
    chosen = choose(notes, cuts, Random(f'{recording.seed}:{recording.fsync}'), where)
    course = Course.of(notes)
    slices = [chosen[start : start + _SLICE] for start in range(0, len(chosen), _SLICE)]
    with scratch() as place, ProcessPoolExecutor(PROCESSES, multiprocessing.get_context('spawn')) as pool:
        for verdicts in pool.map(
            examine,
            [recording] * len(slices),
            slices,
            [models] * len(slices),
            [course] * len(slices),
            [place] * len(slices),
        ):
            for verdict in verdicts:
                table.add(recording, verdict)
            progress(len(verdicts))
    return table
