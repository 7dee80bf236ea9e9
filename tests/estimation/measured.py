"""Results of distances that a test makes up."""

from lightly_memloc.estimation import Readings, estimate_layer_mem


def from_distances(layers, images, f, g, settings, n_resamples):
    """LayerMem of distances under f and, if there is a reference encoder, under g."""
    distances = {"f": f} if g is None else {"f": f, "g": g}
    return estimate_layer_mem(
        Readings(images, layers, distances), settings, n_resamples
    )
