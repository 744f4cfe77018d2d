"""What schemathesis cannot know: a key that was used for one request is refused for another."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis


@schemathesis.hook  # type: ignore[misc]
def map_headers(context: Any, headers: dict[str, Any] | None) -> dict[str, Any] | None:
    key = (headers or {}).get('Idempotency-Key')
    if headers and isinstance(key, str) and 0 < len(key) < 200 and all('!' <= character <= '~' for character in key):
        headers['Idempotency-Key'] = f'{key}{uuid4()}'
    return headers
