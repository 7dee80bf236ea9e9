"""The unit atlas: units of high UnitMem, and the images that activate them most."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lightly_memloc.results import LayerMemResult, UnitMemResult
from lightly_memloc.runtime.printable import printable

_MAX_UNITS = 10_000
_MAX_THUMBNAILS = 500
# Enough to distinguish images; each further digit adds to a page of 10,000 units.
_DIGITS = 4
_UNIT_COLUMNS = [
    "layer",
    "unit",
    "unit_mem",
    "mu_max",
    "mu_rest",
    "index",
    "images",
    "activations",
]


@dataclass(frozen=True)
class Atlas:
    """Units with the images that activate them most.

    Attributes:
        units: One row per unit, the most memorising of each layer: UnitMem and the
            image that it is about, and lists of the ``images`` that activate the unit
            most, this one included, and of their ``activations``.
        images: One row per image: file name, role, and SSLMem if it was measured; by
            index.
        omitted: The number of units left out.
    """

    units: pd.DataFrame
    images: pd.DataFrame
    omitted: int

    @classmethod
    def of(cls, unit_mem: UnitMemResult, layer_mem: LayerMemResult | None) -> "Atlas":
        """Make the atlas of an encoder.

        Args:
            unit_mem: UnitMem, with several images per unit.
            layer_mem: LayerMem of the same images, for their SSLMem.
        """
        everyone = unit_mem.to_pandas()
        everyone = everyone[~everyone["dead"]]
        n_layers = max(1, everyone["layer"].nunique())
        ranked = everyone.sort_values("unit_mem", ascending=False, kind="stable")
        units = ranked.groupby("layer", sort=False).head(_MAX_UNITS // n_layers)
        top = unit_mem.top_images_to_pandas()
        images = _shown_images(top, units)
        lists = top.groupby(["layer", "unit"], sort=False)[["index", "mu"]].agg(list)
        lists = lists.rename(columns={"index": "images", "mu": "activations"})
        return cls(
            _with_own_image(units.sort_index().join(lists, on=["layer", "unit"])),
            images.assign(ssl_mem=_ssl_mem(layer_mem, images.index)),
            len(everyone) - len(units),
        )

    def to_picture(self, first: dict[int, str]) -> dict[int, str]:
        """Return the images that get a thumbnail, as many as suit a page.

        Args:
            first: Images that get one in any case, with their file names.
        """
        rank = self.units.groupby("layer")["unit_mem"].rank(ascending=False)
        wanted = dict(first)
        for images in self.units["images"].iloc[rank.argsort(kind="stable")]:
            wanted |= {index: self.images["filename"][index] for index in images}
            if len(wanted) >= _MAX_THUMBNAILS:
                break
        return dict(list(wanted.items())[:_MAX_THUMBNAILS])

    def to_dict(self, pictures: dict[int, str]) -> dict[str, Any]:
        """Return the atlas as the page's script reads it, in plain JSON types.

        Args:
            pictures: Thumbnails by the images' indices.
        """
        place = {index: position for position, index in enumerate(self.images.index)}
        layers = self.units["layer"].unique().tolist()
        layer_place = {name: position for position, name in enumerate(layers)}
        return {
            "layers": [printable(str(layer)) for layer in layers],
            "images": [
                {
                    "name": printable(filename),
                    "role": role,
                    "sslMem": None if np.isnan(m) else _short(m),
                    "picture": pictures.get(index),
                }
                for index, filename, role, m in _rows(self.images.reset_index())
            ],
            "units": [
                [
                    layer_place[layer],
                    unit,
                    *map(_short, numbers),
                    place[own],
                    [place[index] for index in images],
                    [_short(mu) for mu in activations],
                ]
                for layer, unit, *numbers, own, images, activations in _rows(
                    self.units[_UNIT_COLUMNS]
                )
            ],
        }


def _shown_images(top: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """File name and role of all images, by index."""
    own = units[["index", "filename"]].assign(role="member")
    shown = pd.concat([top[["index", "filename", "role"]], own])
    return shown.drop_duplicates("index").set_index("index")


def _with_own_image(units: pd.DataFrame) -> pd.DataFrame:
    """Add the unit's own image where too many holdout images rank before it."""
    columns = ("index", "mu_max", "images", "activations")
    shown = [
        (images, activations) if own in images else ([*images, own], [*activations, mu])
        for own, mu, images, activations in zip(
            *(units[name] for name in columns), strict=True
        )
    ]
    images, activations = zip(*shown, strict=True)
    return units.assign(images=images, activations=activations)


def _ssl_mem(layer_mem: LayerMemResult | None, index: pd.Index) -> pd.Series:
    if layer_mem is None:
        return pd.Series(float("nan"), index)
    samples = layer_mem.samples_to_pandas().set_index("index")
    return samples.iloc[:, -1].reindex(index)


def _rows(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, in plain Python types."""
    return zip(*(table[name].tolist() for name in table), strict=True)


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
