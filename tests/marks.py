"""Marks of parametrized tests."""

from fnmatch import fnmatch

import pytest


def slowly(names, pattern):
    """Return names as parameters of which those that match a pattern are marked as slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if fnmatch(name, pattern) else name for name in names]
