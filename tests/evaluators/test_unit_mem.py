import numpy as np
import pandas as pd
import pytest
import torch

from lightly_memloc import (
    MemorizationSplit,
    MultiViewDataset,
    UnitMemEvaluator,
    measure_unit_mem,
)
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import ResNet9


@pytest.mark.parametrize("rest", ["mean", "median"])
def test_unit_mem_is_that_of_a_brute_force(
    encoders, digits, transform, activations, rest
):
    result = measure_unit_mem(
        encoders[0], digits, transform, np.arange(30), n_views=3, rest=rest
    )
    table = result.to_pandas()
    for layer, mu in activations.items():
        rows = table[table["layer"] == layer]
        assert len(rows) == mu.shape[1]
        for unit, (_, row) in enumerate(rows.iterrows()):
            ordered = np.sort(mu[:, unit])
            largest = ordered[-1]
            others = getattr(np, rest)(ordered[:-1])
            expected = (largest - others) / (largest + others)
            assert row["unit"] == unit
            assert row["unit_mem"] == pytest.approx(expected, rel=1e-5, abs=1e-7)
            assert row["mu_max"] == pytest.approx(largest, rel=1e-5)
            assert row["index"] == mu[:, unit].argmax()
            assert row["filename"] == digits.filenames[row["index"]]


def test_holdout_gives_member_share_and_gap(encoders, digits, transform, activations):
    members, holdout = np.arange(0, 30, 2), np.arange(1, 30, 2)
    result = measure_unit_mem(
        encoders[0], digits, transform, members, holdout, n_views=3
    )
    rows = result.layers_to_pandas().set_index("layer")
    for layer, mu in activations.items():
        alive = mu.max(axis=0) > 0
        winners = mu.argmax(axis=0)[alive]
        share = np.mean(np.isin(winners, members))

        def mean_unit_mem(images, mu=mu, alive=alive):
            values = []
            for unit in np.flatnonzero(alive):
                ordered = np.sort(mu[images, unit])
                rest = ordered[:-1].mean()
                values.append((ordered[-1] - rest) / (ordered[-1] + rest))
            return np.mean(values)

        gap = mean_unit_mem(members) - mean_unit_mem(holdout)
        assert rows.loc[layer, "member_share"] == pytest.approx(share)
        assert rows.loc[layer, "gap"] == pytest.approx(gap, rel=1e-4, abs=1e-6)


def test_top_images_are_those_of_a_brute_force(
    encoders, digits, transform, activations
):
    members, holdout = np.arange(0, 30, 2), np.arange(1, 30, 2)
    result = measure_unit_mem(
        encoders[0], digits, transform, members, holdout, n_views=3
    )
    top = result.top_images_to_pandas()
    assert result.tables["images"]["index"].tolist() == sorted(set(top["index"]))
    for layer, mu in activations.items():
        of_layer = top[top["layer"] == layer]
        alive = np.flatnonzero(mu[members].max(axis=0) > 0)
        assert of_layer["unit"].unique().tolist() == alive.tolist()
        for unit, rows in of_layer.groupby("unit"):
            ordered = np.argsort(-mu[:, unit], kind="stable")[:6]
            assert rows["rank"].tolist() == [1, 2, 3, 4, 5, 6]
            np.testing.assert_allclose(rows["mu"], mu[ordered, unit], rtol=1e-5)
            positive = rows["mu"] > 0
            chosen = rows["index"][positive]
            assert chosen.tolist() == ordered[: len(chosen)].tolist()
            assert rows["filename"].tolist() == [
                digits.filenames[index] for index in rows["index"]
            ]
            assert rows["role"].tolist() == [
                "holdout" if index % 2 else "member" for index in rows["index"]
            ]


def test_unequal_sets_are_balanced(encoders, digits, transform):
    result = measure_unit_mem(
        encoders[0], digits, transform, np.arange(20), np.arange(20, 27), n_views=2
    )
    assert result.settings["mix"] == {"members": 7, "holdout": 7}
    assert result.settings["images"] == 20


class Signed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.signed = torch.nn.Conv2d(3, 4, 3)
        self.act = torch.nn.Tanh()
        self.positive = torch.nn.Conv2d(4, 4, 3)
        self.relu = torch.nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.positive(self.act(self.signed(x))))


@pytest.mark.parametrize("rectify", ["auto", "relu", "abs", "none"])
def test_negative_layers_are_rectified_and_named(digits, transform, rectify):
    torch.manual_seed(0)
    model = Signed().eval()
    result = measure_unit_mem(
        model, digits, transform, np.arange(5), n_views=2, rectify=rectify
    )
    rectified = result.layers_to_pandas().set_index("layer")["rectified"]
    assert rectified.to_dict() == {"signed": rectify != "none", "positive": False}
    views = MultiViewDataset(digits, transform, n_views=2)
    maps = {"relu": lambda z: z.clip(min=0), "abs": np.abs, "none": lambda z: z}
    rectifier = maps["relu" if rectify == "auto" else rectify]
    with torch.no_grad():
        mu = np.array(
            [
                rectifier(torch.tanh(model.signed(views[i][0])).numpy()).mean((0, 2, 3))
                for i in range(5)
            ]
        )
    rows = result.to_pandas().query("layer == 'signed'")
    np.testing.assert_allclose(rows["mu_max"], mu.max(axis=0), rtol=1e-5)


def test_dead_units_are_flagged_and_left_out_of_averages(encoders, digits, transform):
    encoder = encoders[0]
    with torch.no_grad():
        encoder.prep.bn.weight[1] = 0
        encoder.prep.bn.bias[1] = -1
    result = measure_unit_mem(
        encoder, digits, transform, np.arange(10), layers="prep.conv", n_views=2
    )
    units = result.to_pandas()
    assert units["dead"].tolist() == [False, True, False, False]
    assert units["unit_mem"][1] == 0
    row = result.layers_to_pandas().iloc[0]
    assert row["dead"] == 1
    assert row["mean"] == pytest.approx(units["unit_mem"][[0, 2, 3]].mean())


@pytest.fixture
def split(digits):
    rest = np.arange(30, len(digits)).tolist()
    return MemorizationSplit.random(len(digits), 9, 8, 7, exclude=rest)


@pytest.mark.parametrize("has_independent", [True, False])
def test_a_reference_averages_over_encoders_with_exchanged_roles(
    encoders, digits, transform, split, has_independent
):
    """What it averages is measured one encoder at a time, on the same mix."""
    f, g = encoders
    if not has_independent:
        split = MemorizationSplit(
            split.n,
            shared=split.shared,
            candidate=split.candidate,
            external=split.external,
        )
    others = split.independent if has_independent else split.external
    result = measure_unit_mem(f, digits, transform, reference=g, split=split, n_views=3)
    alone = [
        measure_unit_mem(of, digits, transform, split.candidate, others, n_views=3)
        for of in (f, g)
    ]
    layers = result.layers_to_pandas()
    own, reference = (of.layers_to_pandas() for of in alone)
    for name in ("member_share", "gap"):
        centre = 0.5 if name == "member_share" else 0
        expected = centre + (own[name] - reference[name]) / 2
        np.testing.assert_allclose(layers[name], expected, rtol=1e-9, atol=1e-12)
        for ending in ("", "_low", "_high", "_p", "_p_adjusted"):
            pd.testing.assert_series_equal(
                layers[f"{name}_f{ending}"], own[name + ending], check_names=False
            )
    pd.testing.assert_frame_equal(result.to_pandas(), alone[0].to_pandas())
    pd.testing.assert_frame_equal(
        result.top_images_to_pandas(), alone[0].top_images_to_pandas()
    )
    role = "independent" if has_independent else "holdout"
    assert result.settings["mix"] == {"members": len(others), role: len(others)}
    assert result.settings["reference"]
    assert result.has_reference
    assert not alone[0].has_reference


def test_images_that_win_units_of_any_encoder_cancel(digits, transform):
    """Of untrained encoders, first layers are won by the same images."""
    torch.manual_seed(0)
    f, g = ResNet9(width=16), ResNet9(width=16)
    rest = np.arange(60, len(digits)).tolist()
    split = MemorizationSplit.random(len(digits), 30, 30, 0, exclude=rest)
    result = measure_unit_mem(
        f, digits, transform, reference=g, split=split, n_views=2, layers="prep.conv"
    )
    row = result.layers_to_pandas().iloc[0]

    def width(name):
        return row[f"{name}_null_high"] - row[f"{name}_null_low"]

    assert width("member_share") < 0.6 * width("member_share_f")


def test_winners_of_both_halves_of_the_views_agree_as_by_hand(
    encoders, digits, transform
):
    layer, n_views = "layer1.head.conv", 5
    result = measure_unit_mem(
        encoders[0], digits, transform, range(12), layers=layer, n_views=n_views
    )
    encoder = encoders[0].eval()
    views = MultiViewDataset(digits, transform, n_views=n_views)
    mu = []
    for index in range(12):
        with torch.no_grad():
            head = encoder.layer1.head
            z = torch.relu(head.bn(head.conv(encoder.prep(views[index][0]))))
        mu.append(z.mean((2, 3)).numpy())
    mu = np.array(mu)
    first, last = (mu[:, part].mean(axis=1) for part in (slice(2), slice(3, None)))
    agree = first.argmax(axis=0) == last.argmax(axis=0)
    table = result.to_pandas()
    assert table["agreement"].tolist() == agree.tolist()
    assert result.layers_to_pandas()["agreement"][0] == agree.mean()


def test_images_of_a_group_are_permuted_together(
    encoders, digits, transform, monkeypatch
):
    """One group per role: nothing else can be assigned, so p is 1."""
    members, holdout = np.arange(0, 30, 2), np.arange(1, 30, 2)
    split = MemorizationSplit(len(digits), candidate=members, external=holdout)
    grouped = np.arange(len(digits)) % 2
    evaluator = UnitMemEvaluator(
        encoders[0], Study(digits, transform, split, n_views=2)
    )
    object.__setattr__(evaluator.study.split, "groups", grouped)
    layers = evaluator.run().layers_to_pandas()
    assert (layers["member_share_p"] == 1).all()


def test_bad_references(encoders, digits, transform, split):
    f, g = encoders

    def measured(message, reference=g, **options):
        with pytest.raises(MemorizationError, match=message):
            measure_unit_mem(f, digits, transform, reference=reference, **options)

    measured("not trained on: pass a split", indices=range(10))
    measured("f and g differ in architecture", ResNet9(width=5), split=split)
    both = [*split.candidate, split.independent[0]]
    measured(
        f"Image {split.independent[0]} and 0 more are both in indices and among the "
        "independent",
        split=split,
        indices=both,
    )
