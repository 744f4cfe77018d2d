"""A stream's consumer groups: their consumers, how far they have read, and their pending entries.

A group is loaded, changed and saved within one command; its pending entries are written to the overlay at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from rq_leveldb.store import encoding
from rq_leveldb.store.encoding import StreamId
from rq_leveldb.store.overlay import Overlay

_LAST_ID: StreamId = (encoding.MAX_U64, encoding.MAX_U64)


@dataclass(slots=True)
class Consumer:
    """One consumer of a group.

    Attributes:
        name: the consumer's name.
        seen: when it last tried to read, Unix time in ms.
        active: when it last got an entry, Unix time in ms; None for never.
        pending: how many of its entries are not acknowledged.
    """

    name: bytes
    seen: int
    active: int | None
    pending: int


@dataclass(slots=True)
class Pending:
    """An entry that was delivered and not acknowledged.

    Attributes:
        delivered: when it was last delivered, Unix time in ms.
        times: how often it was delivered.
        consumer: name of the consumer that has it.
    """

    delivered: int
    times: int
    consumer: bytes


@dataclass(eq=False, slots=True)
class Group:
    """One consumer group of a stream.

    Attributes:
        number: identifies its records.
        last: the id of the last delivered entry.
        read: how many entries were delivered, None if unknown.
        pending: how many entries are not acknowledged.
    """

    _overlay: Overlay
    _version: int
    name: bytes
    number: int
    last: StreamId
    read: int | None
    pending: int
    # Else each search for the oldest pending entry would walk over the tombstones of all acknowledged ones.
    _floor: StreamId = (0, 0)
    _consumers: dict[bytes, Consumer | None] = field(default_factory=dict)

    @classmethod
    def create(cls, overlay: Overlay, version: int, name: bytes, last: StreamId, read: int | None) -> Group:
        """Create a group.

        Args:
            overlay: where its records are written.
            version: the stream's version.
            name: a name that no group has yet.
            last: the id up to which nothing will be delivered.
            read: how many entries have been delivered, None if unknown.
        """
        group = cls(overlay, version, name, overlay.new_version(), last, read, 0)
        overlay.put(encoding.group_pending(version, group.number) + encoding.BEHIND_STREAM_IDS, b'')
        group.save()
        return group

    @classmethod
    def load(cls, overlay: Overlay, version: int, name: bytes) -> Group | None:
        """Return a stream's group by its name, or None if there is none."""
        record = overlay.get(encoding.stream_groups(version) + name)
        return None if record is None else cls(overlay, version, name, *encoding.read_group_record(record))

    @classmethod
    def load_all(cls, overlay: Overlay, version: int) -> list[Group]:
        """Return all groups of a stream, by name."""
        prefix = encoding.stream_groups(version)
        return [
            cls(overlay, version, key[len(prefix) :], *encoding.read_group_record(record))
            for key, record in overlay.scan_prefix(prefix)
        ]

    def save(self) -> None:
        """Write the group and the consumers that were loaded."""
        record = encoding.group_record(self.number, self.last, self.read, self.pending, self._floor)
        self._overlay.put(encoding.stream_groups(self._version) + self.name, record)
        prefix = encoding.group_consumers(self._version, self.number)
        for consumer in self._consumers.values():
            if consumer is not None:
                record = encoding.consumer_record(consumer.seen, consumer.active, consumer.pending)
                self._overlay.put(prefix + consumer.name, record)

    def destroy(self) -> None:
        """Remove the group with its consumers and pending entries."""
        overlay = self._overlay
        for prefix in (
            encoding.group_consumers(self._version, self.number),
            encoding.group_pending(self._version, self.number),
            encoding.group_consumers_pending(self._version, self.number),
        ):
            for key, _ in overlay.scan_prefix(prefix):
                overlay.delete(key)
        overlay.delete(encoding.stream_groups(self._version) + self.name)

    # -- consumers

    def consumer(self, name: bytes) -> Consumer | None:
        """Return a consumer by its name, or None if there is none."""
        if name in self._consumers:
            return self._consumers[name]
        record = self._overlay.get(encoding.group_consumers(self._version, self.number) + name)
        consumer = None if record is None else Consumer(name, *encoding.read_consumer_record(record))
        self._consumers[name] = consumer
        return consumer

    def add_consumer(self, name: bytes, now: int) -> Consumer:
        """Make a consumer.

        Args:
            name: of a consumer that does not exist.
            now: Unix time in ms.
        """
        consumer = self._consumers[name] = Consumer(name, now, None, 0)
        self._overlay.put(self._pending_of(name) + encoding.BEHIND_STREAM_IDS, b'')
        return consumer

    def consumers(self) -> list[Consumer]:
        """Return all consumers that were saved, by name."""
        prefix = encoding.group_consumers(self._version, self.number)
        return [
            Consumer(key[len(prefix) :], *encoding.read_consumer_record(record))
            for key, record in self._overlay.scan_prefix(prefix)
        ]

    def delete_consumer(self, consumer: Consumer) -> None:
        """Remove a consumer and its pending entries."""
        for id_, _ in list(self.entries_of(consumer)):
            self.acknowledge(id_)
        self._consumers[consumer.name] = None
        self._overlay.delete(self._pending_of(consumer.name) + encoding.BEHIND_STREAM_IDS)
        self._overlay.delete(encoding.group_consumers(self._version, self.number) + consumer.name)

    # -- pending entries

    def pending_entry(self, id_: StreamId) -> Pending | None:
        """Return a pending entry's record, or None if the entry is not pending."""
        record = self._overlay.get(encoding.group_pending(self._version, self.number) + encoding.stream_id(*id_))
        return None if record is None else Pending(*encoding.read_pending_record(record))

    def entries(self, start: StreamId, stop: StreamId, reverse: bool = False) -> Iterator[tuple[StreamId, Pending]]:
        """Return the pending entries with start <= id <= stop, as they are now."""
        prefix = encoding.group_pending(self._version, self.number)
        if self.pending == 0:
            return iter(())
        first = prefix + encoding.stream_id(*max(start, self._floor))
        last = prefix + encoding.stream_id(*stop) + b'\x00'
        found = (
            (encoding.read_stream_id(key, len(prefix)), Pending(*encoding.read_pending_record(record)))
            for key, record in self._overlay.scan(first, last, reverse)
        )
        if reverse or start > self._floor:
            return found
        lowest = next(found, None)
        if lowest is None:
            return found
        # Written when the group is saved, as claiming does.
        self._floor = lowest[0]
        return chain((lowest,), found)

    def entries_of(
        self, consumer: Consumer, start: StreamId = (0, 0), stop: StreamId = _LAST_ID
    ) -> Iterator[tuple[StreamId, Pending]]:
        """Return the consumer's pending entries with start <= id <= stop."""
        prefix = self._pending_of(consumer.name)
        if consumer.pending == 0:
            return
        first = prefix + encoding.stream_id(*max(start, self._floor))
        last = prefix + encoding.stream_id(*stop) + b'\x00'
        for key, _ in self._overlay.scan(first, last):
            id_ = encoding.read_stream_id(key, len(prefix))
            pending = self.pending_entry(id_)
            if pending is not None:
                yield id_, pending

    def deliver(self, id_: StreamId, consumer: Consumer, delivered: int, times: int) -> None:
        """Make an entry pending for a consumer, taking it from any other.

        Args:
            id_: the entry's id.
            consumer: the consumer that gets it.
            delivered: Unix time in ms.
            times: how often it has now been delivered.
        """
        key = encoding.stream_id(*id_)
        old = self.pending_entry(id_)
        if old is None:
            self._floor = min(self._floor, id_) if self.pending else id_
            self.pending += 1
        if old is None or old.consumer != consumer.name:
            if old is not None:
                self._take_from(old.consumer, key)
            consumer.pending += 1
            self._overlay.put(self._pending_of(consumer.name) + key, b'')
        self._overlay.put(
            encoding.group_pending(self._version, self.number) + key,
            encoding.pending_record(delivered, times, consumer.name),
        )

    def acknowledge(self, id_: StreamId) -> bool:
        """Acknowledge an entry; return whether it was pending."""
        old = self.pending_entry(id_)
        if old is None:
            return False
        key = encoding.stream_id(*id_)
        self._overlay.delete(encoding.group_pending(self._version, self.number) + key)
        self._take_from(old.consumer, key)
        self.pending -= 1
        return True

    def _pending_of(self, name: bytes) -> bytes:
        return encoding.consumer_pending(self._version, self.number, name)

    def _take_from(self, name: bytes, key: bytes) -> None:
        self._overlay.delete(self._pending_of(name) + key)
        consumer = self.consumer(name)
        if consumer is not None:
            consumer.pending -= 1
