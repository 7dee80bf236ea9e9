"""The whole result, with options that are not the defaults, against a brute force."""

import pandas as pd
import pytest
import torch
from torchvision import transforms

import lightly_memloc as memloc
from tests.evaluators import brute_force
from tests.evaluators.tiny import Shades, Tiny


@pytest.fixture
def pair():
    torch.manual_seed(1)
    f, g = Tiny(), Tiny()
    with torch.no_grad():
        # A dead unit.
        f.mix.bias[0] = -100
    return f, g


def plain(image):
    return transforms.functional.to_tensor(image.resize((16, 16)))


def assert_tables(result, expected):
    assert result.tables.keys() == expected.keys()
    for name, table in expected.items():
        pd.testing.assert_frame_equal(
            result.tables[name],
            table,
            check_like=True,
            check_dtype=False,
            rtol=1e-9,
            atol=1e-11,
        )


LAYER_MEM = {
    "n_views": 3,
    "seed": 4,
    "pairs": "all",
    "anchor_transform": None,
    "normalize": True,
    "normalization": "relative",
    "top_k": 2,
    "n_resamples": 37,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"pairs": "anchor", "anchor_transform": plain, "seed": 0},
        {"normalize": False, "normalization": "range"},
        {"normalization": "raw", "top_k": 50, "n_resamples": 60},
    ],
)
def test_layer_mem(pair, digits, small_split, transform, changed):
    options = LAYER_MEM | changed
    measured = (*pair, digits, small_split, transform)
    result = memloc.measure_layer_mem(*measured, batch_size=5, **options)
    assert_tables(result, brute_force.layer_mem(*measured, **options))
    settings = result.settings
    for name in ("n_views", "seed", "pairs", "normalize", "normalization"):
        assert settings[name] == options[name]
    assert settings["top_k"] == min(options["top_k"], 9 // 2)
    assert settings["images"] == {"candidate": 9, "independent": 7, "external": 8}
    assert settings["skipped"] == []


def test_raw_ssl_mem_is_a_g_minus_a_f(pair, digits, small_split, transform):
    result = memloc.measure_layer_mem(
        *pair, digits, small_split, transform, n_views=2, normalization="raw"
    )
    samples, distances = result.samples_to_pandas(), result.distances_to_pandas()
    for layer in ("conv", "mix", "head"):
        raw = distances[f"g:{layer}"] - distances[f"f:{layer}"]
        pd.testing.assert_series_equal(samples[layer], raw, check_names=False)


@pytest.mark.parametrize(
    ("seed", "rest", "rectify"),
    [(1, "median", "abs"), (2, "mean", "none"), (3, "mean", "auto")],
)
def test_unit_mem(pair, digits, transform, seed, rest, rectify):
    options = {
        "indices": list(range(3, 29, 2)),
        "holdout": list(range(4, 24, 2)),
        "n_views": 3,
        "seed": seed,
        "rest": rest,
        "rectify": rectify,
    }
    result = memloc.measure_unit_mem(
        pair[0], digits, transform, batch_size=4, **options
    )
    expected = brute_force.unit_mem(pair[0], digits, transform, **options)
    assert_tables(result, expected)
    assert len(expected["layers"]["rectified"].unique()) == (1 + (rectify != "none"))
    assert result.settings == result.settings | {
        "n_views": 3,
        "seed": seed,
        "rest": rest,
        "rectify": rectify,
        "images": 13,
        "mix": {"members": 10, "holdout": 10},
        "skipped": [],
    }


@pytest.mark.parametrize(("seed", "rectify"), [(1, "abs"), (2, "none"), (3, "auto")])
def test_class_mem(pair, digits, transform, seed, rectify):
    options = {
        "indices": list(range(3, 29, 2)),
        "n_views": 3,
        "seed": seed,
        "rectify": rectify,
    }
    result = memloc.measure_class_mem(
        pair[0], digits, transform, batch_size=4, num_classes=12, **options
    )
    assert_tables(result, brute_force.class_mem(pair[0], digits, transform, **options))
    assert result.settings == result.settings | {
        "n_views": 3,
        "seed": seed,
        "rectify": rectify,
        "images": 13,
        "classes": 12,
        "skipped": [],
    }


class TinyWithMask(Tiny):
    """An encoder that needs a mask, unless it is run through ``forward_features``."""

    def forward(self, x, mask):
        return super().forward(x * mask)

    def forward_features(self, x):
        return super().forward(x)


def test_encoders_that_run_through_forward_features(
    pair, digits, small_split, transform
):
    masked = [TinyWithMask(), TinyWithMask()]
    for encoder, plain_one in zip(masked, pair, strict=True):
        encoder.load_state_dict(plain_one.state_dict())
    data = digits, small_split, transform
    result = memloc.measure_layer_mem(*masked, *data, batch_size=5, **LAYER_MEM)
    assert_tables(result, brute_force.layer_mem(*pair, *data, **LAYER_MEM))
    assert result.settings["entry"] == "forward_features"
    options = {"indices": range(3, 29, 2), "holdout": range(4, 24, 2), "n_views": 3}
    units = memloc.measure_unit_mem(masked[0], digits, transform, **options)
    defaults = {"seed": 0, "rest": "mean", "rectify": "auto"}
    expected = brute_force.unit_mem(pair[0], digits, transform, **options, **defaults)
    assert_tables(units, expected)
    unmasked = memloc.measure_unit_mem(pair[0], digits, transform, **options)
    assert unmasked.settings == units.settings | {"entry": "forward"}


def test_layers_are_chosen(pair, digits, small_split, transform):
    results = [
        memloc.measure_layer_mem(
            *pair, digits, small_split, transform, layers=["mix"], n_views=2
        ),
        memloc.measure_unit_mem(
            pair[0], digits, transform, indices=[1, 2], layers=["mix"], n_views=2
        ),
        memloc.measure_class_mem(
            pair[0], digits, transform, indices=[1, 2], layers=["mix"], n_views=2
        ),
    ]
    for result in results:
        assert result.tables["layers"]["layer"].tolist() == ["mix"]


def test_a_channels_last_layer_has_a_unit_for_each_channel(pair, transform):
    result = memloc.measure_unit_mem(
        pair[0], Shades(4), transform, n_views=2, layers="mix"
    )
    assert result.to_pandas()["unit"].tolist() == list(range(pair[0].mix.out_features))
