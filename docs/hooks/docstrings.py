"""Docstrings as the site shows them: links, formulas and sources as Markdown."""

import re
from typing import Any

from griffe import Extension, Object

_MARKDOWN = (
    # Roles become links, where the reference has the object.
    (
        re.compile(r":(?:attr|class|func|meth):`([^`]+)`"),
        r'<autoref optional identifier="\1"><code>\1</code></autoref>',
    ),
    (re.compile(r":math:`([^`]+)`"), r"$\1$"),
    (re.compile(r"\.\. math::\n +(.+)\n"), r"$$\1$$\n"),
    # A number before an address would be the definition of a link, and not be shown.
    (re.compile(r"^- \[(\d)\]: ", re.MULTILINE), r"- [\1] "),
    (re.compile(r"^(- \[\d\] .*|  )(https://\S+)$", re.MULTILINE), r"\1<\2>"),
)


class Docstrings(Extension):
    """Converts what docstrings have in the form of reStructuredText."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Convert the docstring of an object."""
        if obj.docstring is not None:
            for pattern, markdown in _MARKDOWN:
                obj.docstring.value = pattern.sub(markdown, obj.docstring.value)
