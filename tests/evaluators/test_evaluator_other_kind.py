"""Held-out images of another kind are never taken for memorisation."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision import transforms

import lightly_memloc as memloc
from lightly_memloc.data import Digits, Study
from lightly_memloc.estimation import infer_membership
from lightly_memloc.evaluators import UnitMemEvaluator
from lightly_memloc.report import report_of
from lightly_memloc.training import ResNet9

N = 80
VIEWS = transforms.Compose(
    [transforms.RandomResizedCrop(16, (0.5, 1.0)), transforms.ToTensor()]
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ResNet9(width=8)


def digits_by(chosen):
    """Members and holdout: digits for which a rule is true, and others."""
    digits, rng = Digits(), np.random.default_rng(0)
    of_rule = chosen(digits)
    sets = [rng.permutation(np.flatnonzero(of_rule == of))[:N] for of in (True, False)]
    return digits, *sets


def by_class():
    return digits_by(lambda digits: np.isin(digits.targets, [1, 4, 6, 7]))


def by_index():
    return digits_by(lambda digits: np.arange(len(digits)) < 900)


def by_photograph():
    """Crops of one photograph, and of another."""
    rng = np.random.default_rng(0)
    crops = []
    for name in ("china.jpg", "flower.jpg"):
        photograph = Image.fromarray(load_sample_image(name))
        for left, top in rng.integers(0, 380, size=(N, 2)):
            crops.append(photograph.crop((left, top, left + 40, top + 40)))
    dataset = [(crop, 0, f"{number}.png") for number, crop in enumerate(crops)]
    return dataset, range(N), range(N, 2 * N)


def measured(encoder, dataset, members, holdout):
    split = memloc.MemorizationSplit(
        len(dataset), candidate=np.sort(members), external=np.sort(holdout)
    )
    layer_mem = memloc.measure_layer_mem(
        encoder, None, dataset, split, VIEWS, n_views=4, n_resamples=499
    )
    unit_mem = memloc.measure_unit_mem(
        encoder, dataset, VIEWS, members, holdout, n_views=4
    )
    return layer_mem, infer_membership(layer_mem), unit_mem


@pytest.mark.parametrize("sets", [by_class, by_photograph])
def test_sets_of_two_kinds(encoder, sets):
    for result in measured(encoder, *sets()):
        assert result.differs_in_kind, result.kind
        assert result.settings["blind"]["auc"] > 0.8
        words = report_of(result).words()
        assert words.startswith("Members and held-out images differ in kind"), words


def test_sets_by_index(encoder):
    for result in measured(encoder, *by_index()):
        words = report_of(result).words()
        assert not words.startswith(("The encoder memorised", "Members win")), words
        assert (
            result.differs_in_kind or "no layer" in words.lower() or "do not" in words
        )


def test_sets_of_one_kind(encoder):
    rng = np.random.default_rng(0)
    digits, drawn = Digits(), rng.permutation(1797)[: 2 * N]
    for result in measured(encoder, digits, drawn[:N], drawn[N:]):
        assert result.settings["blind"]["auc_p"] > 0.05
        assert not result.differs_in_kind


def test_the_matched_share_is_that_of_winners_that_are_alike(encoder):
    digits, members, holdout = by_index()
    study = Study(digits, VIEWS, indices=members, holdout=holdout, n_views=2)
    layers = UnitMemEvaluator(encoder, study).run().layers_to_pandas()
    shares = layers["matched_share"]
    assert shares.between(0, 1).all()
    # Images without a counterpart are left out, so that the share is another.
    assert (shares != layers["member_share"]).any()
    assert (layers["matched_share_p_adjusted"] >= layers["matched_share_p"]).all()


def test_groups_are_not_matched(encoder, digits):
    study = Study(
        digits,
        VIEWS,
        indices=range(40),
        holdout=range(40, 80),
        n_views=2,
        groups=np.arange(len(digits)) // 2,
    )
    result = UnitMemEvaluator(encoder, study).run()
    assert "matched_share" not in result.layers_to_pandas()
    assert result.settings["blind"] is not None


def test_too_few_images_for_a_blind_test(encoder, digits):
    study = Study(digits, VIEWS, indices=range(9), holdout=range(9, 18), n_views=2)
    result = UnitMemEvaluator(encoder, study).run()
    assert result.settings["blind"] is None
    assert not result.differs_in_kind
    assert "matched_share" not in result.layers_to_pandas()
    assert result.has_holdout
