"""Whether units are tied to an image or to a class, from equal numbers of both.

UnitMem is a maximum over all images, and ClassMem is a maximum over few class means. Here,
both selectivities of a unit are maxima over equally many: of the class means, and of the
images of the class that activates the unit most.
"""

import numpy as np
import pandas as pd
import torch

from lightly_memloc.data import Study, targets_of
from lightly_memloc.evaluators.unit_evaluator import UnitEvaluator
from lightly_memloc.functional import unit_mem
from lightly_memloc.results import Result
from lightly_memloc.runtime import PassOptions

_DRAWS = 20


def selectivities(mu, targets, seed=0):
    """Compute the selectivities of units for an image and for a class.

    k classes with k images each are drawn, where k is as large as the images allow. The
    selectivity for a class is UnitMem of the k class means. The selectivity for an image
    is UnitMem of the k images of the class with the largest mean.

    Args:
        mu: Activations of shape ``(N, U)``.
        targets: Class of each image, shape ``(N,)``.
        seed: Random seed of the draws.

    Returns:
        Selectivity for an image, that for a class, and whether the former is larger,
        averaged over draws, as arrays of shape ``(U,)``; NaN for a dead unit.
    """
    mu = torch.as_tensor(mu, dtype=torch.float64)
    rng = np.random.default_rng(seed)
    draws = [_of_draw(mu[rows]) for rows in _draws(np.asarray(targets), rng)]
    return tuple(torch.stack(draws).nanmean(dim=0).numpy())


def _draws(targets, rng):
    """Draw indices of shape ``(k, k)``: k images of each of k classes."""
    classes, sizes = np.unique(targets, return_counts=True)
    k = int((np.sort(sizes)[::-1] >= np.arange(1, len(sizes) + 1)).sum())
    enough = classes[sizes >= k]
    for _ in range(_DRAWS):
        chosen = rng.permutation(enough)[:k]
        yield np.stack(
            [rng.permutation(np.flatnonzero(targets == of))[:k] for of in chosen]
        )


def _of_draw(mu):
    """Compute both selectivities, and which is larger, from ``(k, k, U)``."""
    means = mu.mean(dim=1)
    best = mu[means.argmax(dim=0), :, torch.arange(mu.shape[2])].T
    image, of_class = unit_mem(best), unit_mem(means)
    larger = (image > of_class).double()
    dead = means.amax(dim=0) == 0
    return torch.where(dead, torch.nan, torch.stack([image, of_class, larger]))


class TiesResult(Result):
    """How units are tied to images and classes.

    ``to_pandas()`` has one row per encoder, set of images and layer: ``encoder``,
    ``seen`` (whether it was trained on the images), ``layer``, the number of live
    ``units``, the means of their ``image_selectivity`` and ``class_selectivity``, and
    ``tied``: the share of units with a larger selectivity for an image.
    """

    kind = "paper-ties"
    first = "layers"

    def scalars(self):
        """Return nothing to log."""
        return {}


class _Activations(UnitEvaluator):
    """Activations of units on images, averaged over views."""

    title = "Measuring activations"

    def reset(self):
        super().reset()
        self.rows = []

    def make_metrics(self):
        return {}

    def take(self, encoder, mu, batch):
        self.rows.append((batch.indices.cpu(), mu.mean.cpu()))

    def compute(self):
        index, mu = (torch.cat(of).numpy() for of in zip(*self.rows, strict=True))
        sizes = [layer.num_units for layer in self.layers]
        names = np.repeat([layer.name for layer in self.layers], sizes)
        return index, mu, names


def measure_ties(encoders, dataset, split, transform, *, n_views, seed, device):
    """Measure how units are tied to images and classes.

    Both encoders are measured on the candidates, which f was trained on, and on the
    independent images, which g was trained on.

    Args:
        encoders: f and g.
        dataset: The labelled images.
        split: The roles of the images.
        transform: The augmentation.
        n_views: Views per image.
        seed: Random seed of the views and of the draws of images.
        device: The device.

    Returns:
        The result.
    """
    sets = {"f": split.candidate, "g": split.independent}
    images = np.sort(np.concatenate(list(sets.values())))
    study = Study(dataset, transform, split, n_views=n_views, seed=seed)
    options = PassOptions(device=device)
    targets = np.asarray(targets_of(dataset))
    tables = []
    for name, encoder in zip(sets, encoders, strict=True):
        index, mu, layers = _Activations(
            encoder, study, images, "auto", "auto", options
        ).run()
        for trained, of_set in sets.items():
            rows = np.isin(index, of_set)
            columns = selectivities(mu[rows], targets[index[rows]], seed)
            units = pd.DataFrame(
                dict(
                    zip(
                        ("image_selectivity", "class_selectivity", "tied"),
                        columns,
                        strict=True,
                    )
                )
            ).assign(layer=layers)
            live = units.dropna().groupby("layer", sort=False)
            table = live.mean().assign(units=live.size()).reset_index()
            tables.append(table.assign(encoder=name, seen=name == trained))
    settings = {"n_views": n_views, "seed": seed}
    return TiesResult(settings, {"layers": pd.concat(tables, ignore_index=True)})
