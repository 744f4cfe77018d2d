"""A store on a file system that runs full; `python -m tests.store.full_disk MOUNT-POINT`, in a mount namespace."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from tests.store.crashing import PATIENCE, Store, Writer, wait_for

mount = Path(sys.argv[1])
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=120m,mode=0700', 'tmpfs', str(mount)], check=True)
reserve, filler = mount / 'reserve', mount / 'filler'
reserve.write_bytes(bytes(40 << 20))
store = Store(mount / 'jobs', 'everysec')
store.start()
crowd = [Writer(store, f'w{number}', 20_000) for number in range(2)]
for writer in crowd:
    writer.start()
# The store stops adding data before the disk is full, so it is others who fill it under the store's hands.
with contextlib.suppress(OSError), open(filler, 'wb', buffering=0) as file:
    while file.write(bytes(1 << 20)):
        pass
deadline = time.monotonic() + PATIENCE
while not all(writer.refusals for writer in crowd):
    assert time.monotonic() < deadline, 'the disk does not run full'
    assert all(writer.is_alive() for writer in crowd), 'a client was disconnected'
    time.sleep(0.01)
for writer in crowd:
    assert all('MISCONF' in refusal and str(mount) in refusal for refusal in writer.refusals), writer.refusals
with store.client() as client:
    persistence = client.info('persistence')
    assert persistence['aof_last_write_status'] == 'err', persistence
    assert client.info()['loading'] == 0
print(crowd[0].refusals[0])
filler.unlink()
reserve.unlink()
wait_for(crowd, 20)
for writer in crowd:
    writer.stopping.set()
    writer.join(PATIENCE)
for _ in range(2):
    with store.client() as client:
        assert client.info('persistence')['aof_last_write_status'] == 'ok'
        for writer in crowd:
            writer.check(client, writer.acknowledged, writer.acknowledged)
    store.kill()
    store.start()
store.kill()
