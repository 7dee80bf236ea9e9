import numpy as np
import pytest
import torch

from lightly_memloc import MultiViewDataset, measure_layer_mem


def states(encoder, images):
    """The states after three layers of a ResNet9, layer by layer, nothing in place."""

    def stage(stage, x):
        x = stage.bn(stage.conv(x))
        return torch.nn.functional.max_pool2d(torch.relu(x), 2, ceil_mode=True)

    def residual(block, x):
        inner = torch.relu(block.bn1(block.conv1(x)))
        return inner, x + torch.relu(block.bn2(block.conv2(inner)))

    prep = stage(encoder.prep, images)
    head = stage(encoder.layer1.head, prep)
    inner, outer = residual(encoder.layer1.residual, head)
    return {
        "prep.conv": prep,
        "layer1.residual.conv1": inner,
        "layer1.residual": outer,
    }


def brute_force_distance(views, anchor):
    views = views.astype(np.float64).reshape(len(views), -1)
    views = [view / np.linalg.norm(view) for view in views]
    if anchor:
        pairs = [(0, w) for w in range(1, len(views))]
    else:
        pairs = [(v, w) for v in range(len(views)) for w in range(v + 1, len(views))]
    return np.mean([np.linalg.norm(views[v] - views[w]) for v, w in pairs])


@pytest.mark.parametrize("pairs", ["all", "anchor"])
def test_ssl_mem_of_each_image_is_that_of_a_brute_force(
    encoders, digits, small_split, transform, pairs
):
    anchor = None
    if pairs == "anchor":

        def anchor(image):
            return transform.transforms[-1](image.resize((16, 16)))

    result = measure_layer_mem(
        *encoders,
        digits,
        small_split,
        transform,
        n_views=4,
        pairs=pairs,
        anchor_transform=anchor,
    )
    samples = result.samples_to_pandas().set_index("index")
    views = MultiViewDataset(digits, transform, n_views=4, anchor_transform=anchor)
    for index in samples.index:
        images, _, filename = views[index]
        assert samples.loc[index, "filename"] == filename
        distances = []
        for encoder in encoders:
            with torch.no_grad():
                by_layer = states(encoder.eval(), images)
            distances.append(
                {
                    name: brute_force_distance(z.numpy(), pairs == "anchor")
                    for name, z in by_layer.items()
                }
            )
        for name, a_f in distances[0].items():
            a_g = distances[1][name]
            expected = (a_g - a_f) / (a_g + a_f)
            # 1e-5 of the distances, which the difference of two cannot undercut.
            assert samples.loc[index, name] == pytest.approx(expected, abs=1e-5)
            measured = result.distances_to_pandas().set_index("index")
            assert measured.loc[index, f"f:{name}"] == pytest.approx(a_f, rel=1e-5)
            assert measured.loc[index, f"g:{name}"] == pytest.approx(a_g, rel=1e-5)


def test_roles_are_those_of_the_split(encoders, digits, small_split, transform):
    result = measure_layer_mem(*encoders, digits, small_split, transform, n_views=2)
    samples = result.samples_to_pandas()
    for role in ("candidate", "independent", "external"):
        indices = samples[samples["role"] == role]["index"]
        assert indices.tolist() == getattr(small_split, role).tolist()
    assert len(samples) == 9 + 7 + 8


def test_an_encoder_against_itself_has_no_ssl_mem(
    encoders, digits, small_split, transform
):
    f, _ = encoders
    result = measure_layer_mem(f, f, digits, small_split, transform, n_views=2)
    layers = result.samples_to_pandas().drop(columns=["index", "filename", "role"])
    assert (layers == 0).all(axis=None)


def test_swapping_encoders_and_roles_keeps_the_symmetric_estimate(
    encoders, digits, small_split, transform
):
    f, g = encoders
    swapped = type(small_split)(
        small_split.n,
        shared=small_split.shared,
        candidate=small_split.independent,
        independent=small_split.candidate,
        external=small_split.external,
    )
    one = measure_layer_mem(f, g, digits, small_split, transform, n_views=2)
    two = measure_layer_mem(g, f, digits, swapped, transform, n_views=2)
    np.testing.assert_allclose(
        one.to_pandas()["symmetric"], two.to_pandas()["symmetric"], atol=1e-12
    )


def test_without_reference_only_the_alignment_gap_is_estimated(
    encoders, digits, small_split, transform
):
    result = measure_layer_mem(
        encoders[0], None, digits, small_split, transform, n_views=3
    )
    table, distances = result.to_pandas(), result.distances_to_pandas()
    for column in ("layer_mem", "calibrated", "symmetric", "top_k"):
        assert table[column].isna().all()
    by_role = distances.groupby("role")["f:pool"].mean()
    gap = (by_role["external"] - by_role["candidate"]) / by_role.sum()
    assert table.iloc[-1]["alignment_gap"] == pytest.approx(gap)
    assert set(distances["role"]) == {"candidate", "external"}
    assert any("exchangeable" in note for note in result.settings["notes"])


def test_each_image_is_read_once(encoders, digits, small_split, transform):
    read = []

    class Counted:
        def __len__(self):
            return len(digits)

        def __getitem__(self, index):
            read.append(index)
            return digits[index]

    measure_layer_mem(*encoders, Counted(), small_split, transform, n_views=2)
    assert sorted(read) == sorted(
        [*small_split.candidate, *small_split.independent, *small_split.external]
    )
