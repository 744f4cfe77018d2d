"""An application that starts a thread when it is imported, and has a store kept running."""

from __future__ import annotations

import threading

from rq_leveldb import unix_url

threading.Thread(target=threading.Event().wait, name='reporter', daemon=True).start()
unix_url()
