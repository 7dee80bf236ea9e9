import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lightly_memloc import MemorizationSplit, Study, measure_layer_mem
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import LayerMemEvaluator
from lightly_memloc.functional import adjusted_gap, alignment_distance
from lightly_memloc.report import report_of
from lightly_memloc.runtime import estimate_running_statistics, untrained_copy
from tests.evaluators import brute_force
from tests.evaluators.tiny import STATES, Shades, Tiny

N_VIEWS = 3


@pytest.fixture
def split():
    return MemorizationSplit(
        24, candidate=range(12), external=range(12, 24), strata=np.arange(24) % 3
    )


@pytest.fixture
def encoder():
    torch.manual_seed(1)
    return Tiny()


def measure(encoder, split, transform, reference=None, dataset=None, **options):
    dataset = dataset or Shades()
    return measure_layer_mem(
        encoder,
        reference,
        dataset,
        split,
        transform,
        n_views=N_VIEWS,
        device="cpu",
        n_resamples=99,
        **options,
    )


def gap_of(result, columns, strata=None, with_class=False):
    """The adjusted gap worked out from the tables of a result."""
    distances = result.distances_to_pandas()
    shared = result.to_pandas("covariates").filter(regex="^(pixels|units):").to_numpy()
    if with_class:
        of_class = result.to_pandas("covariates")["class"].to_numpy()[:, None]
        shared = np.concatenate([shared, of_class == [1], of_class == [2]], axis=1)
    a = distances[[f"f:{layer}" for layer in STATES]].to_numpy()
    others = [
        np.log(distances[[f"{name}:{layer}" for layer in STATES]].to_numpy())
        for name in columns
    ]
    covariates = np.stack(
        [
            np.column_stack([shared, *(of[:, layer] for of in others)])
            for layer in range(3)
        ],
        axis=1,
    )
    return adjusted_gap(a[:12], a[12:], covariates, n_resamples=99, strata=strata)


def assert_gap(result, expected):
    layers = result.to_pandas()
    for column, values in (
        ("adjusted_gap", expected.value),
        ("adjusted_gap_low", expected.low),
        ("adjusted_gap_high", expected.high),
        ("adjusted_gap_p", expected.p),
        ("adjusted_gap_p_adjusted", expected.p_adjusted),
    ):
        np.testing.assert_allclose(layers[column], values, rtol=1e-8)


def test_two_untrained_encoders_are_covariates_of_a_single_one(
    encoder, split, transform
):
    result = measure(encoder, split, transform)
    assert_gap(result, gap_of(result, ["untrained_1", "untrained_2"], split.strata))
    assert result.settings["covariates"] == "auto"
    assert result.estimate == "adjusted_gap"


def test_distances_of_untrained_encoders_against_plain_hooks(encoder, split, transform):
    images = Shades()
    result = measure(encoder, split, transform)
    views = Study(images, transform, split, n_views=N_VIEWS).views()
    copied = untrained_copy(encoder, 0, 1)
    drawn = np.random.default_rng(0).permutation(split.external)
    of_batches = [
        copied.conv(torch.cat([views[i][0] for i in batch]).double()).detach()
        for batch in (drawn[:8], drawn[8:])
    ]
    copied.norm.running_mean, copied.norm.running_var = (
        torch.stack(of).mean(dim=0)
        for of in (
            [batch.mean(dim=(0, 2, 3)) for batch in of_batches],
            [batch.var(dim=(0, 2, 3)) for batch in of_batches],
        )
    )
    table = result.distances_to_pandas().set_index("index")
    for index in (0, 7, 20):
        z = brute_force.outputs(copied, views[index][0])
        for layer, module in STATES.items():
            np.testing.assert_allclose(
                table.loc[index, f"untrained_2:{layer}"],
                brute_force.distance(z[module], "all", True),
                rtol=1e-9,
            )


def test_the_reference_encoder_is_the_covariate_of_a_pair(encoder, transform):
    torch.manual_seed(2)
    split = MemorizationSplit(24, candidate=range(12), external=range(12, 24))
    result = measure(encoder, split, transform, Tiny())
    assert set(result.distances_to_pandas()) == {
        "index",
        "filename",
        "role",
        *(f"{name}:{layer}" for name in "fg" for layer in STATES),
    }
    assert_gap(result, gap_of(result, ["g"], with_class=True))


def test_encoders_of_the_same_architecture_are_covariates_by_layer(
    encoder, split, transform
):
    torch.manual_seed(3)
    result = measure(encoder, split, transform, covariates=[Tiny()])
    assert_gap(result, gap_of(result, ["covariate_1"], split.strata))
    assert result.settings["covariates"] == ["Tiny"]


def test_encoders_of_another_architecture_are_covariates_of_every_layer(
    encoder, split, transform
):
    torch.manual_seed(3)
    other = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    other(torch.rand(1, 3, 16, 16))
    result = measure(encoder, split, transform, covariates=[other])
    covariates = result.to_pandas("covariates").set_index("index")
    assert {"covariate_1:0", "covariate_1:3"} <= set(covariates)
    views = Study(Shades(), transform, split, n_views=N_VIEWS).views()
    with torch.no_grad():
        for index in (3, 15):
            expected = alignment_distance(other(views[index][0])[None])
            np.testing.assert_allclose(
                covariates.loc[index, "covariate_1:3"], expected[0], rtol=1e-5
            )


def test_units_of_an_untrained_encoder_against_plain_hooks(encoder, split, transform):
    result = measure(encoder, split, transform)
    of_units = result.to_pandas("covariates").filter(like="units:").to_numpy()
    views = Study(Shades(), transform, split, n_views=N_VIEWS).views()
    # The last layer follows a BatchNorm, whose statistics shift and scale its inputs.
    copied = untrained_copy(encoder, 0, 0)
    drawn = np.random.default_rng(0).permutation(split.external)
    batches = [torch.cat([views[i][0] for i in of]) for of in (drawn[:8], drawn[8:])]
    estimate_running_statistics(copied, batches)
    units = np.array(
        [
            brute_force.outputs(copied, views[i][0])["head"].mean(axis=0)
            for i in range(24)
        ]
    )
    # The last layer's six units are linear combinations of five.
    assert of_units.shape == (24, 5)
    np.testing.assert_allclose(of_units.std(axis=0), 1, rtol=1e-6)
    centred = units - units.mean(axis=0)
    explained = of_units @ np.linalg.lstsq(of_units, centred, rcond=None)[0]
    np.testing.assert_allclose(explained, centred, atol=1e-5 * np.abs(centred).max())


def test_sets_without_a_class_in_common_have_no_adjusted_gap(encoder, transform):
    members = [i for i in range(24) if i % 3 == 0] + [1, 4, 7, 10]
    holdout = [i for i in range(24) if i % 3 == 2] + [13, 16, 19, 22]
    images = Shades()
    images.targets = [int(i in members) for i in range(24)]
    split = MemorizationSplit(24, candidate=members, external=holdout)
    result = measure(encoder, split, transform, dataset=images)
    assert not result.has("adjusted_gap")
    assert result.to_pandas()["adjusted_gap_p"].isna().all()
    assert result.differs_in_kind
    assert "differ in kind" in report_of(result).words()


def test_the_blind_test_of_a_random_split_says_nothing(encoder, split, transform):
    random = np.random.default_rng(0).permutation(24)
    split = MemorizationSplit(24, candidate=random[:12], external=random[12:])
    result = measure(encoder, split, transform)
    assert not result.differs_in_kind
    assert "does not tell them apart" in report_of(result).words()


def test_a_pair_needs_no_blind_test(encoder, split, transform):
    assert measure(encoder, split, transform, Tiny()).settings["blind"] is None


def test_nothing_is_adjusted_if_no_covariates_are_asked_for(encoder, split, transform):
    result = measure(encoder, split, transform, covariates=None)
    assert "covariates" not in result.tables
    assert not result.has("adjusted_gap")
    assert result.estimate == "alignment_gap"
    assert set(result.distances_to_pandas()) == {
        "index",
        "filename",
        "role",
        "stratum",
        *(f"f:{layer}" for layer in STATES),
    }


def test_other_estimates_do_not_depend_on_the_covariates(encoder, split, transform):
    one = measure(encoder, split, transform).to_pandas()
    other = measure(encoder, split, transform, covariates=None).to_pandas()
    same = [column for column in one if "adjusted_gap" not in column]
    pd.testing.assert_frame_equal(one[same], other[same])


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_the_batch_size_changes_no_covariate(encoder, split, transform, batch_size):
    expected = measure(encoder, split, transform, batch_size=24)
    result = measure(encoder, split, transform, batch_size=batch_size)
    covariates = [of.to_pandas("covariates") for of in (expected, result)]
    pixels = [of.filter(like="pixels") for of in covariates]
    pd.testing.assert_frame_equal(*pixels, rtol=1e-9)
    # Activations of units are kept in single precision, of which the last bit may differ.
    # A component is scaled to a variance of one, and its error with it: the last of these
    # have a thousandth of the first one's deviation.
    pd.testing.assert_frame_equal(*covariates, rtol=1e-6, atol=1e-4)
    untrained = [
        of.distances_to_pandas().filter(like="untrained") for of in (expected, result)
    ]
    pd.testing.assert_frame_equal(*untrained, rtol=1e-9)


def test_the_encoder_is_unchanged(encoder, split, transform):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.train()
    measure(encoder, split, transform)
    assert encoder.training
    assert all(
        torch.equal(value, before[name]) for name, value in encoder.state_dict().items()
    )


def test_an_interrupted_measurement_resumes_with_the_same_covariates(
    encoder, split, transform, tmp_path
):
    expected = measure(encoder, split, transform, batch_size=4)
    study = Study(Shades(), transform, split, n_views=N_VIEWS)
    options = {"batch_size": 4, "device": "cpu", "state_file": tmp_path / "state.pt"}
    interrupted = LayerMemEvaluator(encoder, study, n_resamples=99, **options)
    measured = interrupted.measure
    batches = iter(range(3))

    def stop(batch, images):
        if next(batches, None) is None:
            raise KeyboardInterrupt
        measured(batch, images)

    interrupted.measure = stop
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed = LayerMemEvaluator(encoder, study, n_resamples=99, **options).run()
    for name in ("layers", "covariates", "distances"):
        pd.testing.assert_frame_equal(resumed.tables[name], expected.tables[name])


def test_few_images_are_not_adjusted(encoder, transform):
    split = MemorizationSplit(24, candidate=range(9), external=range(12, 24))
    result = measure(encoder, split, transform)
    assert not result.has("adjusted_gap")
    assert result.has("alignment_gap")


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        ("pixels", "'auto', None or a list of encoders, got 'pixels'"),
        ([3], "to be encoders, got int"),
    ],
)
def test_other_covariates_are_refused(encoder, split, transform, covariates, message):
    with pytest.raises(MemorizationError, match=message):
        measure(encoder, split, transform, covariates=covariates)


def test_the_encoder_is_no_covariate_of_itself(encoder, split, transform):
    with pytest.raises(MemorizationError, match="must not know"):
        measure(encoder, split, transform, covariates=[encoder])
