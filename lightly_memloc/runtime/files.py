"""Atomic writes: a file is replaced completely or not at all."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from lightly_memloc.errors import MemorizationError

_ENDING = ".partial"

# Most file systems allow no longer names.
_LONGEST = 255

# Their files are streams, whatever they lead to.
_STREAMS = (Path("/dev"), Path("/proc"))


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Write to a temporary file, which replaces another file once it is complete.

    On an error, the old file is kept and the temporary one removed. A process that is
    killed leaves the temporary file, whose name ends in ``.partial``. A link is kept,
    and the file that it leads to is replaced. Pipes and devices are written to.

    Args:
        path: The file to replace or create. Its folder is created if needed.

    Yields:
        Where to write.

    Raises:
        MemorizationError: If there is a folder of this name.
        OSError: If the file cannot be written, for example as the disk is full. The
            error names the file.

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
    if target.is_dir():
        raise MemorizationError(f"{target} is a folder. Expected the name of a file.")
    try:
        if is_stream(target):
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "whole"
                yield whole
                with whole.open("rb") as written, target.open("wb") as stream:
                    shutil.copyfileobj(written, stream)
            return
        target = Path(os.path.realpath(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(_partial_name(target.name))
        try:
            yield partial
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        # Writing to an open file fails without the file's name.
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_stream(path: Path) -> bool:
    """Whether what is written to a path goes elsewhere: to a pipe or a device.

    Args:
        path: The path; nothing need be there.
    """
    if any(path.is_relative_to(of) for of in _STREAMS):
        return path.exists()
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_no_folder(path: Path) -> None:
    """Refuse a path that cannot be a folder, before anything is made for it.

    Args:
        path: The path of a folder that may not exist yet.

    Raises:
        MemorizationError: If the path, or one above it, exists and is no folder.
    """
    for place in (path, *path.parents):
        if os.path.lexists(place):
            if not place.is_dir():
                raise MemorizationError(
                    f"{place} is not a folder. Expected a folder, or a name that is free."
                )
            return


def short_name(name: str, longest: int = _LONGEST) -> str:
    """Return a file name that fits, the same one for the same name.

    Args:
        name: A name of any length.
        longest: Number of bytes allowed.

    Returns:
        The name itself, or its beginning and a digest of all of it.
    """
    encoded = os.fsencode(name)
    if len(encoded) <= longest:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: longest - 17].decode(errors='ignore')}-{digest}"


def _partial_name(name: str) -> str:
    return short_name(name, _LONGEST - len(_ENDING)) + _ENDING
