"""A migration's steps in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rq_leveldb.errors import mask_password
from rq_leveldb.migrate.copying import Copier, Places
from rq_leveldb.migrate.outcome import Outcome
from rq_leveldb.migrate.plan import Plan, announce, make_plan
from rq_leveldb.migrate.record import Marker
from rq_leveldb.migrate.removing import remove
from rq_leveldb.migrate.scope import Scope
from rq_leveldb.migrate.verifying import Verifier, drop_gone
from rq_leveldb.migrate.wire import Connected

__all__ = ['Migration', 'Progress']

Progress = Callable[[str, int, int], None]
"""Receives what is done, of how many keys, of how many in all."""

# So often what has changed in the source meanwhile is copied once more.
_ROUNDS = 4


class Migration(Connected):
    """Carries keys from one place to another.

    Args:
        source: URL of the place that has them.
        target: URL of the place that gets them.
        everything: all keys, and not only RQ's and ours.
        merge: keys that the target has already are merged.
        move: what was verified is removed from the source.
        progress: is told how far it is.

    Raises:
        BadAddress, RefusedPlace, CutConnection: as `wire.Wire`; every method may raise the last two.
    """

    def __init__(
        self,
        source: str,
        target: str,
        *,
        everything: bool = False,
        merge: bool = False,
        move: bool = False,
        progress: Progress = lambda what, done, size: None,
    ) -> None:
        self._scope = Scope(everything)
        self._merge = merge
        self._move = move
        self._progress = progress
        self._outcome = Outcome()
        options = ' and '.join(name for name, is_set in (('with --all', everything), ('with --merge', merge)) if is_set)
        self._marker = Marker(mask_password(source), options, 'copying')
        super().__init__(source, source, target, target)
        self._places = Places(*self._wires)
        self._copier = Copier(self._places, self._outcome, merge=merge)
        self._verifier = Verifier(self._places, self._outcome)

    def plan(self) -> Plan:
        """Look at everything, and change nothing."""
        with self._counted('Looking', self._size()) as done:
            return make_plan(self._places, self._scope, self._marker, merge=self._merge, done=done)

    def run(self, plan: Plan) -> Outcome:
        """Do it.

        Args:
            plan: which may begin.

        Returns:
            What has come of it; where it is not complete, the same can be run again.
        """
        assert plan.may_begin
        places, outcome = self._places, self._outcome
        for wire in (places.source, places.target):
            announce(wire)
        if not plan.is_verified:
            self._marker.write(places.target)
            self._copy(plan.keys)
            if not outcome.complete:
                return outcome
        if self._move:
            self._marker._replace(phase='verified').write(places.target)
            self._remove(plan.keys)
            if outcome.left.count:
                return outcome
        self._marker.end(places.target)
        return outcome

    def _copy(self, keys: int) -> None:
        places, outcome, scope = self._places, self._outcome, self._scope
        with self._counted('Copying', keys) as done:
            self._copier.copy(scope.names(places.source_aside), done)
        for _ in range(_ROUNDS):
            # All of it each time: what is written to now may be written to elsewhere at the same time.
            different = self._verify(keys)
            if not different:
                break
            before = outcome.copied + outcome.merged
            with self._counted('Copying what has changed', len(different)) as done:
                self._copier.copy(iter(different), done)
            outcome.recopied += outcome.copied + outcome.merged - before
        else:
            different = self._verify(keys)
        for name in different:
            outcome.changing.add(name, 'it changes in the source all the time')
        if outcome.names_written == outcome.names_verified:
            return
        with self._counted('Looking for what is gone', keys) as done:
            drop_gone(places, scope, outcome, done)

    def _verify(self, keys: int) -> list[bytes]:
        self._outcome.verified = self._outcome.names_verified = 0
        with self._counted('Verifying', keys) as done:
            different = self._verifier.different(self._scope.names(self._places.source_aside), done)
        return [name for name in different if not self._outcome.refused.has(name)]

    def _remove(self, keys: int) -> None:
        places, outcome = self._places, self._outcome
        with self._counted('Removing from the source', keys) as done:
            left = remove(places, outcome, self._scope.names(places.source_aside), done)
        for _ in range(_ROUNDS):
            if not left:
                return
            self._copier.copy(iter(left), lambda count: None)
            wrong = set(self._verifier.different(iter(left), lambda count: None))
            rest = (name for name in left if name not in wrong)
            left = [*wrong, *remove(places, outcome, rest, lambda count: None)]
        for name in left:
            outcome.left.add(name, outcome.refused.reason(name) or 'it changes in the source all the time')

    def _size(self) -> int:
        return int(self._places.source.call(b'DBSIZE'))

    @contextmanager
    def _counted(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        total = 0

        def done(count: int) -> None:
            nonlocal total
            total += count
            self._progress(what, min(total, max(size, 1)), max(size, 1))

        yield done
