"""Tests mirror the package: a test file begins with the name of the module it tests."""

from pathlib import Path

import pytest

import lightly_memloc

PACKAGE = Path(lightly_memloc.__file__).parent
TESTS = Path(__file__).parent
PACKAGES = [path.parent.name for path in sorted(PACKAGE.glob("*/__init__.py"))]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_test_file_begins_with_the_name_of_a_module(name):
    modules = {path.stem for path in (PACKAGE / name).glob("[!_]*")}
    tests = {path.stem.removeprefix("test_") for path in (TESTS / name).glob("test_*")}
    assert tests
    strangers = {
        test
        for test in tests
        if not any(f"{test}_".startswith(f"{module}_") for module in modules)
    }
    assert strangers == set()
