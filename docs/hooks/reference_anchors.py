"""Anchors for functions whose module has their name, under the name to import."""

import re
from typing import Any

# The package's member of that name is the module here, and the function in Python.
_SHADOWED = re.compile(r"^(::: (\S+)\.(\w+)\.\3)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put an anchor before each of them."""
    return _SHADOWED.sub(r"[](){ #\2.\3 }\n\n\1", markdown)
