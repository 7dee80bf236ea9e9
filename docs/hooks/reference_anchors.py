"""Add anchors for functions that have the same name as their module."""

import re
from typing import Any

# The reference finds the module under this name; Python finds the function.
_SHADOWED = re.compile(r"^(::: (\S+)\.(\w+)\.\3)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put an anchor before each of them."""
    return _SHADOWED.sub(r"[](){ #\2.\3 }\n\n\1", markdown)
