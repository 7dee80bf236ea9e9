import numpy as np
import pandas as pd
import pytest

from lightly_memloc import measure_class_mem
from lightly_memloc.errors import MemorizationError
from tests.evaluators.tiny import Shades, Unlabelled


def test_class_mem_is_that_of_a_brute_force(encoders, digits, transform, activations):
    result = measure_class_mem(encoders[0], digits, transform, np.arange(30), n_views=3)
    table = result.to_pandas()
    targets = np.array(digits.targets[:30])
    for layer, mu in activations.items():
        rows = table[table["layer"] == layer]
        for unit, (_, row) in enumerate(rows.iterrows()):
            means = np.array([mu[targets == c, unit].mean() for c in range(10)])
            largest = means.max()
            rest = np.delete(means, means.argmax()).mean()
            expected = (largest - rest) / (largest + rest)
            assert row["class_mem"] == pytest.approx(expected, rel=1e-5, abs=1e-7)
            assert row["class"] == means.argmax()


def test_class_mem_without_known_classes(encoders, transform):
    dataset = Unlabelled(6)
    with pytest.raises(MemorizationError, match="pass num_classes"):
        measure_class_mem(encoders[0], dataset, transform)
    result = measure_class_mem(
        encoders[0], dataset, transform, num_classes=3, n_views=2
    )
    labelled = measure_class_mem(encoders[0], Shades(6), transform, n_views=2)
    pd.testing.assert_frame_equal(result.to_pandas(), labelled.to_pandas())


def test_targets_that_are_no_classes(encoders, transform):
    with pytest.raises(MemorizationError, match=r"integer class index .* got 0\.0"):
        measure_class_mem(
            encoders[0], Unlabelled(6, float), transform, num_classes=3, n_views=2
        )


def test_class_mem_of_one_class(encoders, digits, transform):
    zeros = np.flatnonzero(np.array(digits.targets) == 0)
    with pytest.raises(MemorizationError, match="at least two classes, got 1"):
        measure_class_mem(encoders[0], digits, transform, zeros)
