"""Convert links, formulas and sources in docstrings to Markdown."""

import re
from typing import Any

from griffe import Extension, Object

_MARKDOWN = (
    # Roles become links if the reference contains the object.
    (
        re.compile(r":(?:attr|class|func|meth):`([^`]+)`"),
        r'<autoref optional identifier="\1"><code>\1</code></autoref>',
    ),
    (re.compile(r":math:`([^`]+)`"), r"$\1$"),
    (re.compile(r"\.\. math::\n +(.+)\n"), r"$$\1$$\n"),
    # Markdown takes a number before an address for a link definition and hides it.
    (re.compile(r"^- \[(\d)\]: ", re.MULTILINE), r"- [\1] "),
    (re.compile(r"^(- \[\d\] .*|  )(https://\S+)$", re.MULTILINE), r"\1<\2>"),
)


class Docstrings(Extension):
    """Converts reStructuredText in docstrings to Markdown."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Convert the docstring of an object."""
        if obj.docstring is not None:
            for pattern, markdown in _MARKDOWN:
                obj.docstring.value = pattern.sub(markdown, obj.docstring.value)
