"""Large made-up results, and images to go with them."""

import numpy as np
import pandas as pd
from PIL import Image

from lightly_memloc.results import UnitMemResult
from tests.estimation.measured import from_distances

N_TOP = 6


class Noise:
    """Images of coloured noise, which compress badly."""

    def __init__(self, n_images, side=96):
        rng = np.random.default_rng(0)
        self.filenames = [name(index) for index in range(n_images)]
        self.pixels = rng.integers(0, 256, (n_images, side, side, 3), dtype=np.uint8)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return Image.fromarray(self.pixels[index]), 0, name(index)


def name(index):
    return f"class/{index:06d}.png"


def layer_mem(n_images, n_layers=20):
    """LayerMem of as many candidates as independent and external images."""
    rng = np.random.default_rng(1)
    layers = [(f"blocks.{i}", "block") for i in range(n_layers)]
    roles = np.tile(["candidate", "independent", "external"], n_images)[:n_images]
    images = pd.DataFrame({"index": range(n_images), "role": roles})
    images.insert(1, "filename", [name(index) for index in images["index"]])
    m = rng.normal(0, 0.1, (n_images, n_layers))
    settings = {
        "normalization": "relative",
        "top_k": 50,
        "seed": 0,
        "skipped": [],
        "reference": True,
    }
    return from_distances(layers, images, 1 - m, 1 + m, settings, 100)


def unit_mem(n_units, n_images, n_layers=20):
    """UnitMem of units whose images are drawn; image 0 is a member, 1 is not, ..."""
    rng = np.random.default_rng(2)
    layer = [f"blocks.{i}" for i in np.arange(n_units) * n_layers // n_units]
    images = np.stack(
        [rng.choice(n_images, N_TOP, replace=False) for _ in range(n_units)]
    )
    mu = -np.sort(-rng.gamma(2, size=(n_units, N_TOP)), axis=1)
    members = images % 2 == 0
    # A unit's own image is a member: the first, or one that is made so.
    own = members.argmax(axis=1)
    images[~members.any(axis=1), 0] -= 1
    unit = pd.Series(layer).groupby(layer).cumcount().to_numpy()
    everyone = np.arange(n_units)
    rest = mu[everyone, own] * rng.uniform(0.05, 0.9, n_units)
    units = pd.DataFrame(
        {
            "layer": layer,
            "unit": unit,
            "unit_mem": (mu[everyone, own] - rest) / (mu[everyone, own] + rest),
            "mu_max": mu[everyone, own],
            "mu_rest": rest,
            "index": images[everyone, own],
            "filename": [name(index) for index in images[everyone, own]],
            "dead": False,
        }
    )
    top = units.loc[units.index.repeat(N_TOP), ["layer", "unit"]].reset_index(drop=True)
    top = top.assign(
        rank=np.tile(np.arange(1, N_TOP + 1), n_units),
        index=images.ravel(),
        mu=mu.ravel(),
    )
    by_layer = units.groupby("layer", sort=False)["unit_mem"]
    layers = pd.DataFrame(
        {
            "layer": by_layer.size().index,
            "kind": "block",
            "units": by_layer.size().to_numpy(),
            "dead": 0,
            "mean": by_layer.mean().to_numpy(),
            "median": by_layer.median().to_numpy(),
            "member_share": 0.5,
            "member_share_low": 0.4,
            "member_share_high": 0.6,
            "member_share_p": 0.5,
            "member_share_null_low": 0.4,
            "member_share_null_high": 0.6,
            "gap": 0.0,
            "gap_low": -0.1,
            "gap_high": 0.1,
            "gap_p": 0.5,
            "rectified": False,
        }
    )
    roles = np.where(np.arange(n_images) % 2, "holdout", "member")
    pictured = pd.DataFrame({"index": range(n_images), "role": roles})
    pictured.insert(1, "filename", [name(index) for index in range(n_images)])
    return UnitMemResult(
        {"images": n_images // 2, "skipped": []},
        {"layers": layers, "units": units, "top_images": top, "images": pictured},
    )
