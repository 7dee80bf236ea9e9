"""With what a run was made."""

import platform
import subprocess
from importlib.metadata import version
from typing import Any

_PACKAGES = (
    "lightly-memloc",
    "lightly",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "timm",
    "numpy",
    "pillow",
)


def provenance() -> dict[str, Any]:
    """Return versions, platform and, in a git repository, revision of the work.

    The revision is that of the repository that the working directory is in, with
    whether it was modified since.
    """
    return {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in _PACKAGES if _installed(package)},
        "platform": f"{platform.system()} {platform.machine()}",
    } | _git()


def _installed(package: str) -> bool:
    try:
        version(package)
    except ImportError:
        return False
    return True


def _git() -> dict[str, Any]:
    revision = _git_output("rev-parse", "HEAD")
    if revision is None:
        return {}
    modified = bool(_git_output("status", "--porcelain", "--untracked-files=no"))
    return {"git": {"revision": revision, "modified": modified}}


def _git_output(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
