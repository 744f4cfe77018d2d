"""An application that Sentry watches; what would be sent is appended to a file instead, one line for each item."""

from __future__ import annotations

import json
import os
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.rq import RqIntegration
from sentry_sdk.transport import Transport


class FileTransport(Transport):
    """Writes down the type and the name of each item."""

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            content = item.payload.json or {}
            exceptions = [each['type'] for each in content.get('exception', {}).get('values', [])]
            line = [item.type, content.get('transaction'), *exceptions]
            with open(os.environ['SENTRY_FILE'], 'a', encoding='utf-8') as file:
                file.write(json.dumps(line) + '\n')


sentry_sdk.init(
    'http://key@localhost/1', transport=FileTransport, traces_sample_rate=1.0, integrations=[RqIntegration()]
)
