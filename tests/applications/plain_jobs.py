"""Jobs in the style of Resque and DelayedJob that know nothing of us: RQ alone can run them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator


class Mail:
    """Is a job as Resque has it."""

    queue = 'mail'
    enqueue_options = {'timeout': 17, 'meta': {'kind': 'letter'}}

    @staticmethod
    def perform(to: str, subject: str = 'none') -> str:
        return f'{subject} to {to}'


class Express(Mail):
    """Inherits its work."""

    queue = 'urgent'


class Counted:
    """Needs its class to work."""

    queue = 'mail'
    step = 2

    @classmethod
    async def perform(cls, number: int) -> int:
        await asyncio.sleep(0)
        return number + cls.step


class Device:
    """Has methods of all kinds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def activate(self, user: str) -> str:
        return f'{self.name} of {user}'

    async def ping(self) -> str:
        await asyncio.sleep(0)
        return self.name

    @classmethod
    def kinds(cls, number: int) -> list[str]:
        return [cls.__name__] * number

    @staticmethod
    def double(number: int) -> int:
        return 2 * number

    def __call__(self, greeting: str) -> str:
        return f'{greeting}, {self.name}'

    class Part:
        """Is nested too deeply for RQ."""

        queue = 'mail'

        @staticmethod
        def perform() -> None:
            """Do nothing."""


class Nothing(Device):
    """Counts as false."""

    def __len__(self) -> int:
        return 0


def add(left: int, right: int) -> int:
    return left + right


def fail() -> None:
    raise ValueError('as expected')


class NoQueue:
    """Does not say where it belongs."""

    @staticmethod
    def perform() -> None:
        """Do nothing."""


class OfInstances:
    """Has a perform that wants an instance."""

    queue = 'mail'

    def perform(self) -> None:
        """Do nothing."""


class NeverYields:
    """Has a hook around its job that does not say where the job runs."""

    queue = 'mail'

    @staticmethod
    def perform() -> None:
        """Do nothing."""

    @classmethod
    def around_perform(cls) -> None:
        """Do nothing."""


class Ruby:
    """Has a hook that wants an instance."""

    queue = 'mail'

    @staticmethod
    def perform() -> None:
        """Do nothing."""

    def around_perform(self) -> Iterator[None]:
        yield


class NeverAwaited(Mail):
    """Has a hook that nobody would await."""

    @staticmethod
    async def after_perform() -> None:
        """Do nothing."""
