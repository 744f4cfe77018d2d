"""What schemathesis cannot know: a key that was used for one request is refused for another."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_load_schema(context: Any, schema: dict[str, Any]) -> None:
    for path in schema['paths'].values():
        for operation in path.values():
            parameters = operation.get('parameters', [])
            parameters[:] = [item for item in parameters if item['name'] != 'Idempotency-Key']
