"""Figures as SVG, with the numbers of their marks to point at or focus."""

import io
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lightly_memloc.runtime.printable import printable

_RADIUS = 6.0
_POINTS_PER_INCH = 72.0
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_STYLE: dict[Any, Any] = {
    # Text stays text: it can be searched and read aloud, and weighs less than outlines.
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
}


class Hover(Artist):
    """Places of a figure that show a text when pointed at or focused in an SVG file.

    It draws nothing itself, so that images of a figure do not change: drawing finds
    where the places are, and ``to_svg`` writes them.

    Args:
        corners: Opposite corners of each place in the data's coordinates, shape
            ``(N, 2, 2)``. A place without extent is shown as a small circle.
        texts: The text of each place.
    """

    def __init__(self, corners: ArrayLike, texts: Sequence[str]) -> None:
        super().__init__()
        self._corners = np.asarray(corners, dtype=float)
        self.texts = list(texts)
        self._placed = self._corners
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Find where the places are in the drawn figure."""
        assert self.axes is not None
        flat = self.axes.transData.transform(self._corners.reshape(-1, 2))
        self._placed = flat.reshape(self._corners.shape)

    def elements(self, height: float) -> Iterator[str]:
        """Yield an SVG element for each place of the figure as it was drawn last.

        Args:
            height: The figure's height, in points.
        """
        for ((x0, y0), (x1, y1)), text in zip(self._placed, self.texts, strict=True):
            if (x0, y0) == (x1, y1):
                shape = f'circle cx="{x0:.1f}" cy="{height - y0:.1f}" r="{_RADIUS:g}"'
                closing = "circle"
            else:
                shape = (
                    f'rect x="{min(x0, x1):.1f}" y="{height - max(y0, y1):.1f}" '
                    f'width="{abs(x1 - x0):.1f}" height="{abs(y1 - y0):.1f}"'
                )
                closing = "rect"
            title = escape(printable(text), quote=False)
            yield f'<{shape} role="img" tabindex="-1"><title>{title}</title></{closing}>'


def hover(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    texts: Sequence[str],
    until: tuple[ArrayLike, ArrayLike] | None = None,
) -> None:
    """Give marks a text that an SVG file shows when they are pointed at or focused.

    Args:
        axes: Where the marks are.
        x: Position of each mark along the x-axis.
        y: Position along the y-axis; marks at NaN are left out.
        texts: The texts.
        until: The opposite corners, if the marks are rectangles.
    """
    first = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    second = first if until is None else np.asarray(until, float).T
    corners = np.stack([first, second], axis=1)
    is_shown = np.isfinite(corners).all(axis=(1, 2))
    shown = [text for text, is_in in zip(texts, is_shown, strict=True) if is_in]
    axes.add_artist(Hover(corners[is_shown], shown))


def to_svg(figure: Figure, salt: str = "lightly-memloc") -> str:
    """Draw a figure as SVG; the same figure always gives the same text.

    The places that ``hover`` names follow the drawing, in a group ``marks``. The first
    can be reached with the Tab key, the others are focusable by a script.

    Args:
        figure: The figure.
        salt: Makes the ids of the drawing differ from those of other drawings.
    """
    file = io.StringIO()
    with rc_context(_STYLE | {"svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata=_NO_METADATA, dpi=150)
    drawing = file.getvalue()
    height = float(figure.get_size_inches()[1]) * _POINTS_PER_INCH
    marks = [
        element
        for hovered in figure.findobj(Hover)
        for element in hovered.elements(height)
    ]
    if not marks:
        return drawing
    marks[0] = marks[0].replace('tabindex="-1"', 'tabindex="0"', 1)
    group = '<g class="marks" fill="none" pointer-events="all">\n'
    body, end, rest = drawing.rpartition("</svg>")
    return "".join([body, group, "\n".join(marks), "\n</g>\n", end, rest])
