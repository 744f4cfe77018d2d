"""A module that sets up an agent and a thread when it is imported."""

from __future__ import annotations

import application

application.replace_perform()
application.start_thread()
