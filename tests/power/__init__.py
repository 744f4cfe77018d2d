"""What is left of a store when something goes wrong, judged without believing the store.

When the power goes: `recorder.c` notes what a store under a load (`load.py`) does to its files and says to its clients;
`disk.py` follows the notes; `models.py` knows what a disk may hold at the worst; `judge.py` opens a store on that and
compares it with what `units.py` says must be there; `campaign.py` does so at many points, and finds the bugs of
`faulty.py`. Beside that: kill -9 (`kills.py`), errors of the system (`injected.py`) and damaged files (`damage.py`).
`python -m tests.power --help` is the command.
"""
