"""What can be wrong, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ['Finding', 'Report']

_MOST_KEPT = 1000


@dataclass(frozen=True)
class Finding:
    """One problem.

    Args:
        kind: what sort of problem, one word for programs.
        key: the key in the place.
        problem: what is wrong with it, without its name and without a full stop.
        remedy: what a repair does, or what a person can do where a repair does nothing.
        fixable: whether a repair does something about it.
        harmless: whether no job suffers: RQ removes it when it meets it, or it only takes space.
        fixed: whether it was repaired.
    """

    kind: str
    key: str
    problem: str
    remedy: str
    fixable: bool = True
    harmless: bool = False
    fixed: bool = False


@dataclass
class Report:
    """The result of a check.

    Args:
        jobs: how many jobs there are.
        keys: how many keys of RQ and of this package there are.
        findings: what is wrong; of each kind the first 1,000.
        counts: how many there are of each kind.
        harmful: how many problems are not harmless.
        unfixed: how many of these were not repaired.
    """

    jobs: int = 0
    keys: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    harmful: int = 0
    unfixed: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was found, or only harmless things."""
        return not self.harmful

    def add(self, finding: Finding) -> None:
        """Add a problem.

        Args:
            finding: the problem.
        """
        self.counts[finding.kind] += 1
        if self.counts[finding.kind] <= _MOST_KEPT:
            self.findings.append(finding)
        if not finding.harmless:
            self.harmful += 1
            self.unfixed += not finding.fixed
