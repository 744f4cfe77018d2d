"""A serializer of the application's own: JSON, compressed."""

from __future__ import annotations

import json
import zlib
from typing import Any


class CompressedJSON:
    """RQ's serializer protocol over zlib and JSON."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return zlib.compress(json.dumps(value).encode())

    @staticmethod
    def loads(data: bytes) -> Any:
        return json.loads(zlib.decompress(data))
