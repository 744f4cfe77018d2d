"""For tools that ask for a setup.py; setup.cfg says everything."""

from setuptools import setup

setup()
