"""The version of this package, alone so that a process can learn it without importing anything else."""

__version__ = '0.1.0'
