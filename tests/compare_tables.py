"""Compare the tables of all results below two folders, value by value.

``python -m tests.compare_tables BEFORE AFTER`` lists what differs and exits with 1, or
says how many tables are equal. How the files are laid out does not matter.
"""

import sys
from pathlib import Path

import pandas as pd

from lightly_memloc import load_result


def tables(folder):
    """Each table below a folder, by its result's place and its name."""
    return {
        (path.parent.relative_to(folder).as_posix(), name): table
        for path in sorted(folder.rglob("result.json"))
        for name, table in load_result(path.parent).tables.items()
    }


def differences(before, after):
    """What differs between the tables below two folders, a line each."""
    first, second = tables(Path(before)), tables(Path(after))
    for key in sorted(first.keys() ^ second.keys()):
        yield f"{'/'.join(key)}: only in {before if key in first else after}"
    for key in sorted(first.keys() & second.keys()):
        try:
            pd.testing.assert_frame_equal(first[key], second[key], check_exact=True)
        except AssertionError as error:
            yield f"{'/'.join(key)}: {error}"


if __name__ == "__main__":
    found = list(differences(*sys.argv[1:3]))
    print("\n".join(found) or f"{len(tables(Path(sys.argv[1])))} tables are equal.")
    sys.exit(bool(found))
