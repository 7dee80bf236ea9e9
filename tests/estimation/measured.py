"""Results of distances that a test makes up."""

import numpy as np
import pandas as pd

from lightly_memloc.estimation import Readings, estimate_layer_mem

SETTINGS = {"normalization": "relative", "top_k": 50, "seed": 0, "skipped": []}


def from_distances(layers, images, f, g, settings, n_resamples, halves=None):
    """LayerMem of distances under f and, if there is a reference encoder, under g.

    The distances over both halves of the views are the same, unless they are given.
    """
    known = {
        "images": images["role"].value_counts().to_dict(),
        "reference": g is not None,
    }
    distances = {"f": f} if g is None else {"f": f, "g": g}
    if halves is None:
        halves = {name: np.stack([a, a], axis=2) for name, a in distances.items()}
    return estimate_layer_mem(
        Readings(images, layers, distances, halves), known | settings, n_resamples
    )


def two_layers():
    """Two layers; candidates have SSLMem 0.2 and 0.4 in the last, others none."""
    roles = ["candidate", "candidate", "independent", "independent"]
    roles += ["external"] * 3
    images = pd.DataFrame(
        {"index": range(7), "filename": [f"{i}.png" for i in range(7)], "role": roles}
    )
    m = np.zeros((7, 2))
    m[:2, 1] = [0.2, 0.4]
    return from_distances(
        [("one", "conv"), ("two", "block")], images, 1 - m, 1 + m, SETTINGS, 200
    )
