"""Units that respond to classes and have memorised no image, simulated.

They show which comparisons of an image with a class are fair.
"""

import numpy as np
import torch
from ties import selectivities

from lightly_memloc.functional import class_mem, unit_mem

_CLASSES, _IMAGES, _UNITS, _SEED = 10, 10, 2000, 0
_SPREAD = 0.3


def simulate(tuning):
    """Compare UnitMem with ClassMem in units that memorised nothing.

    The logarithm of an activation is the sum of a class's effect and an image's effect.
    Both are normal and drawn for each unit. There are ten classes of ten images.

    Args:
        tuning: Standard deviation of the classes' effects, relative to the images'.

    Returns:
        Shares of units tied to an image more than to a class: ``published`` (UnitMem
        above ClassMem) and ``equal_counts``.
    """
    rng = np.random.default_rng(_SEED)
    of_class = rng.normal(size=(_CLASSES, 1, _UNITS))
    of_image = rng.normal(size=(_CLASSES, _IMAGES, _UNITS))
    mu = np.exp(_SPREAD * (tuning * of_class + of_image)).reshape(-1, _UNITS)
    targets = np.repeat(np.arange(_CLASSES), _IMAGES)
    rows = torch.from_numpy(mu)
    above = unit_mem(rows) > class_mem(rows, torch.from_numpy(targets))
    return {
        "published": float(above.double().mean()),
        "equal_counts": float(selectivities(mu, targets)[2].mean()),
    }
