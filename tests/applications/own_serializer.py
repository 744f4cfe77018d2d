"""A serializer of an application's own, which only a job's process may call."""

from __future__ import annotations

import pickle
from typing import Any


class Own:
    """What RQ asks of a serializer."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return b'own ' + pickle.dumps(value)

    @staticmethod
    def loads(data: bytes) -> Any:
        return pickle.loads(data.removeprefix(b'own '))
