import numpy as np
import pandas as pd
import pytest
from class_tuned import simulate
from ties import selectivities

CLASSES = np.repeat(np.arange(4), 4)


def brute_force(mu, targets):
    """Both selectivities of one unit, with as many classes as images of each."""

    def selectivity(values):
        rest = np.delete(values, np.argmax(values)).mean()
        return (values.max() - rest) / (values.max() + rest)

    by_class = [mu[targets == of] for of in np.unique(targets)]
    means = np.array([of.mean() for of in by_class])
    return selectivity(by_class[means.argmax()]), selectivity(means)


def test_selectivities_are_those_of_equal_numbers():
    mu = np.random.default_rng(0).gamma(1.0, size=(16, 50))
    image, of_class, tied = selectivities(mu, CLASSES)
    expected = np.array([brute_force(unit, CLASSES) for unit in mu.T])
    np.testing.assert_allclose(np.stack([image, of_class], axis=1), expected)
    np.testing.assert_array_equal(tied, expected[:, 0] > expected[:, 1])


def test_units_are_tied_to_what_they_respond_to():
    one_image, one_class, dead = np.ones(16), np.ones(16), np.zeros(16)
    one_image[5] = 9
    one_class[CLASSES == 2] = 9
    image, of_class, tied = selectivities(
        np.stack([one_image, one_class, dead], axis=1), CLASSES
    )
    # Means of the classes: 1, 3, 1, 1 for the first unit and 1, 1, 9, 1 for the second.
    np.testing.assert_allclose(image, [0.8, 0, np.nan])
    np.testing.assert_allclose(of_class, [0.5, 0.8, np.nan])
    np.testing.assert_array_equal(tied, [1, 0, np.nan])


def test_classes_with_more_images_count_by_as_many():
    rng = np.random.default_rng(0)
    # Three classes have at least three images, and no four have four.
    targets = np.repeat([0, 1, 2, 3], [7, 3, 3, 2])
    mu = rng.gamma(1.0, size=(15, 3))
    mu[targets == 3] = 1e6
    image, of_class, _ = selectivities(mu, targets)
    # Images of the class with two images are never drawn.
    assert (image < 0.99).all()
    assert (of_class < 0.99).all()


def test_the_result_does_not_depend_on_the_order_of_images():
    rng = np.random.default_rng(0)
    mu, order = rng.gamma(1.0, size=(16, 9)), rng.permutation(16)
    np.testing.assert_allclose(
        selectivities(mu[order], CLASSES[order]), selectivities(mu, CLASSES)
    )


def test_unit_mem_exceeds_class_mem_in_units_tuned_to_classes():
    shares = pd.DataFrame([simulate(tuning) for tuning in (1.0, 2.0, 10.0)])
    # Twice as tuned to classes as to images, and yet above.
    assert shares["published"][1] > 0.9
    assert shares["equal_counts"][1] < 0.15
    assert shares["equal_counts"][2] < 0.01
    # Classes and images matter equally.
    assert shares["equal_counts"][0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_ties_are_measured_on_seen_and_unseen_images(out):
    saved = pd.read_csv(out / "pair-1" / "supervised" / "ties" / "layers.csv")
    rows = saved[["encoder", "seen", "layer"]]
    assert not rows.duplicated().any()
    assert len(rows) == 2 * 2 * 8
    assert saved["tied"].between(0, 1).all()
