import copy

import numpy as np
import pytest
import timm
import torch
from torch import nn

from lightly_memloc import MultiViewDataset, measure_unit_mem, prune_units
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions import measure_unit_tuning, tune_unit
from lightly_memloc.training import ResNet9

pytestmark = pytest.mark.slow

IMAGES = np.arange(100, 140)


@pytest.fixture
def encoder():
    torch.manual_seed(3)
    return ResNet9(width=8).eval()


def study(digits, transform, indices, n_views=2, seed=0):
    return Study(digits, transform, indices=indices, n_views=n_views, seed=seed)


@pytest.fixture
def vit():
    torch.manual_seed(3)
    return timm.create_model(
        "vit_tiny_patch16_224",
        depth=2,
        img_size=16,
        patch_size=4,
        embed_dim=24,
        num_heads=2,
        num_classes=0,
    ).eval()


@torch.no_grad()
def activations(module: nn.Module, model: nn.Module, digits, transform, activation):
    """Mean activations, a row an image, on views that tuning never saw."""
    given = []
    hook = module.register_forward_hook(lambda m, args, out: given.append(out.clone()))
    views = MultiViewDataset(digits, transform, 6, seed=9)
    model(torch.cat([views[int(index)][0] for index in IMAGES]))
    hook.remove()
    given = activation(given[0])
    positions = [
        d for d in range(1, given.dim()) if d != (1 if given.dim() == 4 else 2)
    ]
    return given.mean(positions).view(len(IMAGES), 6, -1).mean(1).double().numpy()


def unit_mem(mu):
    others = np.delete(mu, mu.argmax())
    return (mu.max() - others.mean()) / (mu.max() + others.mean())


@pytest.mark.parametrize(
    ("layer", "follows", "unit", "image"),
    [
        ("layer1.residual.conv1", "layer1.residual.bn1", 2, 117),
        ("layer2.conv", "layer2.bn", 5, 103),
        ("layer3.head.conv", "layer3.head.bn", 11, 130),
    ],
)
def test_unit_mem_rises_and_the_image_wins(
    encoder, digits, transform, layer, follows, unit, image
):
    tuned = tune_unit(encoder, layer, unit, digits, transform, image, IMAGES, steps=150)

    def mu(model):
        module = model.get_submodule(follows)
        return activations(module, model, digits, transform, torch.relu)

    before, after = mu(encoder), mu(tuned)
    assert IMAGES[before[:, unit].argmax()] != image
    assert IMAGES[after[:, unit].argmax()] == image
    assert unit_mem(after[:, unit]) > unit_mem(before[:, unit]) + 0.2
    others = np.arange(before.shape[1]) != unit
    assert np.array_equal(before[:, others], after[:, others])

    measured = measure_unit_mem(tuned, digits, transform, IMAGES, layers=layer, seed=9)
    row = measured.to_pandas().set_index("unit").loc[unit]
    assert row["index"] == image


def test_longer_tuning_raises_unit_mem_further(encoder, digits, transform):
    def after(steps):
        tuned = tune_unit(
            encoder, "layer2.conv", 5, digits, transform, 103, IMAGES, steps=steps
        )
        module = tuned.get_submodule("layer2.bn")
        return unit_mem(activations(module, tuned, digits, transform, torch.relu)[:, 5])

    doses = [after(steps) for steps in (1, 30, 120)]
    assert doses == sorted(doses)
    assert doses[2] > doses[1] + 0.05 > doses[0]


def test_a_hidden_unit_of_a_transformer_is_tuned(vit, digits, transform):
    tuned = tune_unit(
        vit, "blocks.1.mlp.fc1", 7, digits, transform, 117, IMAGES, steps=150
    )

    def mu(model):
        module = model.get_submodule("blocks.1.mlp.act")
        return activations(module, model, digits, transform, torch.relu)[:, 7]

    assert IMAGES[mu(vit).argmax()] != 117
    assert IMAGES[mu(tuned).argmax()] == 117
    assert unit_mem(mu(tuned)) > unit_mem(mu(vit)) + 0.1
    changed = rows_changed(vit, tuned)
    assert changed == {"blocks.1.mlp.fc1.weight": [7], "blocks.1.mlp.fc1.bias": [7]}


class WithMask(nn.Module):
    """An encoder that needs a mask, unless it is run through ``forward_features``."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, images, mask):
        return self.encoder(images * mask)

    def forward_features(self, images):
        return self.encoder(images)


def test_an_encoder_that_runs_through_forward_features(encoder, digits, transform):
    arguments = 5, digits, transform, 103, IMAGES
    plain = tune_unit(encoder, "layer2.conv", *arguments, steps=2)
    masked = tune_unit(WithMask(encoder), "encoder.layer2.conv", *arguments, steps=2)
    assert rows_changed(encoder, plain)
    assert rows_changed(plain, masked.encoder) == {}


def rows_changed(before, after):
    """Entries of the state that differ to the bit, with the rows that do."""
    changed = {}
    for (name, old), new in zip(
        before.state_dict().items(), after.state_dict().values(), strict=True
    ):
        if not torch.equal(old, new):
            assert old.dim()
            differs = (
                (old != new).flatten(1) if old.dim() > 1 else (old != new)[:, None]
            )
            changed[name] = differs.any(1).nonzero().flatten().tolist()
    return changed


def test_nothing_but_the_units_weights_changes(
    encoder, digits, transform, generator_states
):
    encoder.train()
    encoder.prep.requires_grad_(False)
    before = copy.deepcopy(encoder)
    states = generator_states()
    tuned = tune_unit(
        encoder, "layer3.head.conv", 4, digits, transform, 101, IMAGES, steps=5
    )

    assert generator_states() == states
    assert rows_changed(before, encoder) == {}
    assert encoder.training
    assert all(p.grad is None for m in (encoder, tuned) for p in m.parameters())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in tuned.modules()
    )
    assert not tuned.training
    assert [p.requires_grad for p in tuned.parameters()] == [
        p.requires_grad for p in before.parameters()
    ]
    assert rows_changed(before, tuned) == {
        "layer3.head.conv.weight": [4],
        "layer3.head.bn.weight": [4],
        "layer3.head.bn.bias": [4],
    }


def test_the_seed_settles_what_is_learned_and_workers_do_not(
    encoder, digits, transform
):
    def tuned(seed, num_workers=0):
        model = tune_unit(
            encoder,
            "layer2.conv",
            3,
            digits,
            transform,
            101,
            IMAGES,
            steps=4,
            num_workers=num_workers,
            seed=seed,
        )
        return model.layer2.conv.weight[3]

    assert torch.equal(tuned(0), tuned(0, num_workers=1))
    assert not torch.equal(tuned(0), tuned(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": 64}, "has units 0 to 31, got 64"),
        ({"layer": "layer1.residual"}, "do not have their own weights"),
        ({"layer": "layer1*"}, "name of a single layer"),
        ({"layer": "layer9"}, "layer9"),
        ({"image": 5000}, "got image 5000"),
        ({"image": -1}, "got image -1"),
        ({"indices": [101]}, "0 others"),
        ({"steps": 0}, "steps to be a whole number at least 1, got 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(encoder, digits, transform, changes, message):
    arguments = {"layer": "layer2.conv", "unit": 3, "image": 101, "indices": IMAGES}
    with pytest.raises(MemorizationError, match=message):
        tune_unit(encoder, dataset=digits, transform=transform, **(arguments | changes))


def test_silent_units_are_refused(encoder, digits, transform):
    with torch.no_grad():
        encoder.layer2.bn.bias[3] = -1000
    with pytest.raises(MemorizationError, match=r"Unit 3 of .* is silent"):
        tune_unit(encoder, "layer2.conv", 3, digits, transform, 101, IMAGES, steps=2)


def test_half_precision_keeps_numbers(digits):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten()
    )
    with torch.no_grad():
        model[0].bias[3] = -100
    model.half()
    before = model[2].weight.clone()

    def view(image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).half() / 255

    with torch.no_grad():
        mu = model[:4](torch.stack([view(digits[int(i)][0]) for i in IMAGES])).mean(
            (2, 3)
        )
    unit = int(mu[1].argmax())
    tuned = tune_unit(model, "2", unit, digits, view, int(IMAGES[1]), IMAGES, steps=3)
    assert tuned[2].weight.dtype == torch.float16
    assert tuned[2].weight.isfinite().all()
    assert not torch.equal(tuned[2].weight[unit], before[unit])


def test_gradients_are_on_whatever_the_caller_has_set(encoder, digits, transform):
    def tuned():
        return tune_unit(
            encoder, "layer2.conv", 3, digits, transform, 101, IMAGES, steps=2
        )

    expected = tuned()
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert rows_changed(expected, tuned()) == {}


class ScaledNorm(nn.modules.batchnorm._NormBase):
    def __init__(self):
        nn.Module.__init__(self)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, images):
        return self.scale * images


def test_weights_of_other_names_are_refused(digits, transform):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), ScaledNorm(), nn.ReLU(), nn.Flatten())
    with pytest.raises(MemorizationError, match="ScaledNorm has scale for 8 units"):
        tune_unit(model, "0", 3, digits, transform, 101, IMAGES, steps=2)


def test_a_layer_that_runs_twice_is_measured_once_tuned(digits, transform):
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3)
            self.conv = nn.Conv2d(6, 6, 3)

        def forward(self, images):
            once = self.conv(self.first(images).relu()).relu()
            return self.conv(once).relu().flatten(1)

    result = measure_unit_tuning(
        Twice(), study(digits, transform, IMAGES), n_units=1, steps=2
    )
    assert result.to_pandas()["layer"].tolist() == ["first", "conv"]


def test_images_that_are_named_twice_count_once(encoder, digits, transform):
    twice = np.concatenate([IMAGES, IMAGES])
    result = measure_unit_tuning(
        encoder,
        study(digits, transform, twice),
        layers="layer2.conv",
        n_units=1,
        steps=np.int64(2),
    )
    assert result.settings["images"] == len(IMAGES)


def test_pruned_units_are_refused(encoder, digits, transform):
    prune_units(encoder, {"layer2.conv": [3]}, torch.rand(2, 3, 16, 16))
    with pytest.raises(MemorizationError, match="pruned"):
        tune_unit(encoder, "layer2.conv", 4, digits, transform, 101, IMAGES, steps=2)
