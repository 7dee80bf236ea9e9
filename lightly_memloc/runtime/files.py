"""Atomic writes: a file is replaced completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Write to a temporary file, which replaces another file once it is complete.

    On an error, the old file is kept and the temporary one removed. A process that is
    killed leaves the temporary file, whose name ends in ``.partial``.

    Args:
        path: The file to replace or create. Its folder is created if needed.

    Yields:
        Where to write.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lightly_memloc.runtime import replacing
        >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with replacing(target) as partial:
        ...     _ = partial.write_text("1 2 3")
        >>> target.read_text(), partial.exists()
        ('1 2 3', False)
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    try:
        yield partial
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
