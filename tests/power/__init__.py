"""What is left of a store when the power goes: recorded, rebuilt and judged, without believing the store.

`recorder.c` notes what a store does to its files and says to its clients; `disk.py` follows the notes; `models.py`
knows what a disk may hold at the worst; `judge.py` opens a store on that and compares it with what `units.py` says must
be there. `python -m tests.power --help` is the command.
"""
