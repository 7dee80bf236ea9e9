"""A picture of what the encoder sees: some images, each with some of its views."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lightly_memloc.errors import UnreadableImageError
from lightly_memloc.report.images import as_image
from lightly_memloc.report.style import plain
from lightly_memloc.runtime.files import replacing

if TYPE_CHECKING:
    from lightly_memloc.data import Study

N_IMAGES = 4
N_VIEWS = 4
_SIDE = 1.15
_MAX_NAME = 16


def plot_views(study: "Study") -> Figure:
    """Draw four images of a study with four of their views, as an encoder sees them.

    The views of an image are shown on one scale, from their darkest to their brightest
    value, whatever their normalization. Images that cannot be read are left out.

    Args:
        study: The images and their augmentation. Of members and held-out images, two of
            each are shown.

    Returns:
        The figure.

    Raises:
        MemorizationError: If a view cannot be made.
    """
    rows = list(_rows(study))
    n_columns = max((len(seen) for _, _, seen in rows), default=0) + 1
    figure = Figure(
        figsize=(_SIDE * n_columns, _SIDE * max(len(rows), 1) + 0.4),
        layout="constrained",
    )
    axes = figure.subplots(max(len(rows), 1), n_columns, squeeze=False)
    for places, (image, name, seen) in zip(axes, rows, strict=False):
        places[0].imshow(image)
        places[0].set_ylabel(plain(name[-_MAX_NAME:]), fontsize=7)
        for place, view in zip(places[1:], seen, strict=True):
            place.imshow(view, vmin=0, vmax=1, cmap="gray")
    for place in axes.flat:
        place.set(xticks=[], yticks=[])
    titles = ["image", *(f"view {number}" for number in range(1, n_columns))]
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title, fontsize=9)
    return figure


def save_views(study: "Study", path: Path) -> None:
    """Save what :func:`plot_views` draws as a PNG file.

    Args:
        study: The images and their augmentation.
        path: The file.
    """
    with replacing(path) as partial:
        plot_views(study).savefig(partial, dpi=110, format="png")


def _rows(study: "Study") -> Iterator[tuple[NDArray[Any], str, NDArray[Any]]]:
    """Images that can be read, with their names and views."""
    from lightly_memloc.data import read_image

    views = study.views()
    for index in _chosen(study):
        try:
            image, _, name = read_image(study.dataset, index)
            tensors, *_ = views[index]
        except UnreadableImageError:
            continue
        seen = _scaled(tensors.float().numpy()[:N_VIEWS])
        yield np.asarray(as_image(image).convert("RGB")), name, seen


def _chosen(study: "Study") -> list[int]:
    """Images spread over the members, and over the holdout if there is one."""
    sets = [of for of in (study.members, study.non_members) if len(of)]
    each = N_IMAGES // len(sets)
    spread = (
        of[np.linspace(0, len(of) - 1, min(each, len(of))).astype(int)] for of in sets
    )
    return [int(index) for of in spread for index in of]


def _scaled(views: NDArray[Any]) -> NDArray[Any]:
    """Views of shape (V, C, H, W) as images of shape (V, H, W, 3) or (V, H, W)."""
    values = views.astype(np.float64)
    span = np.ptp(values)
    scaled = (values - values.min()) / (span if span else 1.0)
    if scaled.shape[1] in (3, 4):
        return np.moveaxis(scaled[:, :3], 1, -1)
    grey: NDArray[Any] = scaled.mean(axis=1)
    return grey
