"""The documentation as a site: `sphinx-build -W docs build/docs`."""

from __future__ import annotations

from rq_leveldb.version import __version__

project = 'rq-leveldb'
version = release = __version__
extensions = ['sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_click']
html_theme = 'furo'
html_title = f'rq-leveldb {__version__}'
autodoc_typehints = 'description'
autodoc_member_order = 'bysource'
napoleon_numpy_docstring = False
# A name in single quotation marks is code, as in docstrings.
default_role = 'code'
nitpicky = False
