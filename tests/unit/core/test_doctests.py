"""The examples in the core's docstrings."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import modelyard_core


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(modelyard_core.__path__)])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(import_module(f"modelyard_core.{module}")).failed == 0
