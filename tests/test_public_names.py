import subprocess
import sys
from importlib import import_module

import pytest

import lightly_memloc as memloc


@pytest.mark.parametrize("name", memloc.__all__)
def test_every_public_name_is_reached_after_the_import_alone(name):
    assert getattr(memloc, name) is not None
    assert name in dir(memloc)


def test_rooms_and_errors_are_those_of_their_modules():
    errors = import_module("lightly_memloc.errors")
    assert memloc.MemorizationError is errors.MemorizationError
    assert memloc.MemorizationWarning is errors.MemorizationWarning
    for room in ("data", "metrics", "results", "training", "report"):
        assert getattr(memloc, room) is import_module(f"lightly_memloc.{room}")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="lightly_memloc attribute memorisation"):
        memloc.memorisation  # noqa: B018


def test_the_import_loads_neither_torch_nor_lightning():
    code = "import sys, lightly_memloc; print({'torch', 'pytorch_lightning'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_definitions_keep_their_names_whatever_is_imported_first():
    """A definition is called as its module is, which importing binds to the package."""
    code = """
import lightly_memloc.functional.unit_mem, lightly_memloc.functional.membership
from lightly_memloc.functional.ssl_mem import ssl_mem
from lightly_memloc import functional
names = [functional.unit_mem, functional.membership, functional.ssl_mem]
print([callable(name) for name in names], functional.ssl_mem is ssl_mem)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[True, True, True] True"
