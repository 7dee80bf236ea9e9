"""Interventions in models that are put together in unusual ways."""

import pytest
import torch
from lightly.models.modules import MaskedCausalVisionTransformer
from timm.models.eva import EvaBlock
from torch import nn
from torch.nn.utils import prune
from torchvision.models import VisionTransformer

from lightly_memloc import prune_units
from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import trace_layers
from tests.interventions.odd_models import Twice, shifted, small_resnet

OUT = "encoder.layers.encoder_layer_0.self_attention.out_proj"


def test_mha_state_loads(images):
    one, other = (shifted(VisionTransformer(32, 8, 2, 2, 16, 32)) for _ in range(2))
    for model in (one, other):
        prune_units(model, {OUT: [2, 5]}, images)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(other(images), one(images))


def test_mha_trains(images):
    model = shifted(VisionTransformer(32, 8, 2, 2, 16, 32))
    prune_units(model, {OUT: [2, 5]}, images)
    model.train()(images).square().sum().backward()
    mha = model.get_submodule(OUT.removesuffix(".out_proj"))
    gradients = [p.grad for n, p in mha.named_parameters() if "out_proj.weight" in n]
    assert gradients[0] is not None
    assert gradients[0].any()


@pytest.mark.parametrize("how", ["undo", "refused"])
def test_order_of_the_weights(images, how):
    model = small_resnet().eval()
    before = list(model.state_dict())
    if how == "undo":
        prune_units(model, {"conv1": [1]}, images).undo()
    else:
        with pytest.raises(MemorizationError):
            prune_units(model, {"conv1": [1], "layer4.0": [999]}, images)
    assert list(model.state_dict()) == before


def test_optimizer_state_after_undo():
    model = nn.Sequential(nn.Linear(3, 3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3)).sum().backward()
    optimizer.step()
    weight = optimizer.state[model[0].weight]["exp_avg"].clone()
    prune_units(model, {"0": [1]}, torch.randn(2, 3)).undo()
    again = torch.optim.Adam(model.parameters())
    again.load_state_dict(optimizer.state_dict())
    assert torch.equal(again.state[model[0].weight]["exp_avg"], weight)


def test_refused_halfway_leaves_no_mask(images):
    model = small_resnet().eval()
    prune.l1_unstructured(model.bn1, "weight", 3)
    before = set(model.state_dict())
    with pytest.raises(MemorizationError, match="already has pruned units"):
        prune_units(model, {"conv1": [1]}, images)
    assert set(model.state_dict()) == before


def test_module_that_runs_twice(images):
    model = shifted(Twice())
    prune_units(model, {"step": [1]}, images)
    seen = []
    model.step.register_forward_hook(lambda _, args, x: seen.append(x))
    model(images)
    assert len(seen) == 2
    assert not seen[0][:, 1].any()
    assert not seen[1][:, 1].any()


def test_names_of_unit_mem_are_understood_or_refused_clearly(
    images,
):
    model = shifted(Twice())
    names = [layer.name for layer in trace_layers(model, "auto", "units", images)]
    assert "step#2" in names
    with pytest.raises(MemorizationError, match=r"No layer of Twice matches 'step#2'"):
        prune_units(model, {"step#2": [1]}, images)


@pytest.mark.parametrize("name", ["auto", "layer4.*", "block"])
def test_glob_is_refused_clearly(images, name):
    with pytest.raises(MemorizationError):
        prune_units(small_resnet(), {name: [0]}, images)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.LayerNorm(8), nn.ReLU()),
    ],
    ids=["group", "layer"],
)
def test_other_units_behind_group_and_layer_norms(images, model):
    shifted(model)
    layer = "0" if len(model) == 3 else "1"
    before = model(images)
    prune_units(model, {layer: [1]}, images)
    others = [0, *range(2, 8)]
    after = model(images)
    assert not after[:, 1].any()
    assert torch.equal(after[:, others], before[:, others])


def test_norm_over_other_dimension(images):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(32), nn.ReLU()).eval()
    before = model(images)
    try:
        prune_units(model, {"0": [1]}, images)
    except MemorizationError:
        return
    others = [0, 2, 3]
    assert torch.equal(model(images)[:, others], before[:, others])


@pytest.mark.parametrize("unit", [2, 200])
def test_units_that_are_no_rows(unit):
    images = torch.randn(2, 3, 8, 8)
    model = shifted(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.BatchNorm1d(256), nn.ReLU())
    )
    before = model(images)
    try:
        prune_units(model, {"0": [unit]}, images)
    except MemorizationError:
        return
    others = [u for u in range(256) if u != unit]
    assert torch.equal(model(images)[:, others], before[:, others])


def test_hidden_units_of_a_gated_mlp():
    block = EvaBlock(16, 2, qkv_fused=False, swiglu_mlp=True, scale_mlp=True)
    model = shifted(nn.Sequential(block))
    tokens = torch.randn(2, 5, 16)
    (hidden,) = trace_layers(model, "hidden", "units", tokens)
    try:
        prune_units(model, {hidden.name: [1]}, tokens)
    except MemorizationError:
        return
    seen = []
    block.mlp.fc2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(tokens)
    assert not seen[0][..., 1].any()


@pytest.mark.parametrize("units", [[1.7], [True, False], "12"])
def test_units_that_are_no_integers(images, units):
    with pytest.raises(MemorizationError):
        prune_units(small_resnet(), {"conv1": units}, images)


def test_message_for_a_layer_without_units(images):
    import timm

    model = timm.create_model(
        "vit_tiny_patch16_224", depth=1, img_size=32, patch_size=8, num_classes=0
    ).eval()
    with pytest.raises(MemorizationError) as refused:
        prune_units(model, {"blocks.0.attn": [1]}, images)
    assert "maps zero to another value" not in str(refused.value)


def test_a_model_that_runs_through_forward_features(images):
    model = shifted(
        MaskedCausalVisionTransformer(
            img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2
        )
    )
    pruned = prune_units(model, {"blocks.0.mlp.fc1": [3, 7]})
    hidden = []
    model.blocks[0].mlp.fc2.register_forward_pre_hook(
        lambda _, args: hidden.append(args[0])
    )
    model.forward_features(images)
    assert not hidden[0][..., [3, 7]].any()
    assert hidden[0].any(dim=(0, 1)).sum() == 62
    pruned.undo()
