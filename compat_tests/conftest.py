"""How hard hypothesis looks."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# `ci` is the default; `--hypothesis-profile=deep` looks for hours.
_COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.register_profile('ci', _COMMON, max_examples=80)
settings.register_profile('deep', _COMMON, max_examples=5000)
settings.load_profile('ci')
