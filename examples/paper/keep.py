"""Measurements that are kept in their folders."""

import shutil
from importlib.metadata import version
from pathlib import Path

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import load_result

_RESULT = "result.json"


def keep(folder, measure):
    """Load a result from its folder, or measure and save it first.

    Raises:
        MemorizationError: If another version of lightly-memloc measured it.
    """
    if not (Path(folder) / _RESULT).is_file():
        measure().save(folder)
    result = load_result(folder)
    if result.version != version("lightly-memloc"):
        raise MemorizationError(
            f"{folder} was measured with lightly-memloc {result.version}, and this is "
            f"{version('lightly-memloc')}. To measure everything again, add "
            "--remeasure; the trained encoders are kept."
        )
    return result


def measurements(folder):
    """List the folders of all measurements in a folder, without those of trainings."""
    found = (path.parent for path in Path(folder).rglob(_RESULT))
    return {path for path in found if "training" not in path.relative_to(folder).parts}


def discard(out):
    """Remove the measurements of all pairs. Trained encoders are kept."""
    for pair in Path(out).glob("pair-*"):
        for folder in measurements(pair):
            shutil.rmtree(folder)
