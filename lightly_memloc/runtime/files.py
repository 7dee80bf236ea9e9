"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Write a file beside another, and replace that one once it is complete.

    An error leaves the old file as it was and removes the incomplete one. A process
    that is killed leaves the incomplete one, whose name ends in ``.partial``.

    Args:
        path: The file to replace or to create. Its folder is created if need be.

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
