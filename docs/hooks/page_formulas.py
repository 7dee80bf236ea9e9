"""Formulas as MathML, which browsers show without a script."""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">'
    r"\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>",
    flags=re.DOTALL,
)


def on_page_content(html: str, **_: Any) -> str:
    """Convert the TeX that the Markdown extension has marked."""
    return _FORMULA.sub(_mathml, html)


def _mathml(formula: re.Match[str]) -> str:
    display = "block" if formula["tag"] == "div" else "inline"
    return convert(unescape(formula["tex"]).strip(), display=display)
