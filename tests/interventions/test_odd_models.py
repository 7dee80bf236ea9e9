"""Interventions in models that are put together in unusual ways."""

import copy

import pytest
import torch
from timm.models.eva import EvaBlock
from torch import nn
from torch.nn.utils import prune
from torchvision.models import VisionTransformer
from torchvision.models.resnet import BasicBlock, ResNet

from lightly_memloc import exchange_layers, find_layers, prune_units
from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import example_images, segments, trace_layers

OUT = "encoder.layers.encoder_layer_0.self_attention.out_proj"


def small_resnet():
    return ResNet(BasicBlock, [1, 1, 1, 1])


def shifted(model):
    for entry, value in model.state_dict().items():
        if value.is_floating_point() and (value.dim() < 2 or not value.any()):
            noise = torch.randn_like(value).mul_(0.3)
            value.add_(noise.abs() if entry.endswith("running_var") else noise)
    return model.eval()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.step = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = self.step(self.first(x.mean((2, 3))))
        return self.last(torch.relu(self.step(self.norm(torch.relu(x)))))


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


@pytest.mark.parametrize("layers", ["names", "linear"])
def test_all_names_exchange_all_of_a_module_that_runs_twice(images, layers):
    model, donor = shifted(Twice()), shifted(Twice())
    if layers == "names":
        layers = [layer.name for layer in find_layers(model)]
    mixed = exchange_layers(model, donor, layers)
    assert torch.equal(mixed(images), donor(images))


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


def test_hidden_units_of_a_gated_mlp_are_not_left_out_in_silence():
    block = EvaBlock(16, 2, qkv_fused=False, swiglu_mlp=True, scale_mlp=True)
    model, donor = (shifted(nn.Sequential(copy.deepcopy(block))) for _ in range(2))
    with pytest.raises(MemorizationError, match="'hidden' has no weights"):
        exchange_layers(model, donor, "hidden", torch.zeros(2, 5, 16))


def test_module_under_two_names(images):
    norm = nn.LayerNorm(4)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(3072, 4),
        nn.Linear(4, 4),
        norm,
        nn.Linear(4, 4),
        norm,
        nn.Linear(4, 2),
    ).eval()
    divided = segments(model, images)
    assert "5.weight" not in divided["1"]
    assert {"3.weight", "5.weight"} <= set(divided["2"])


def test_exchange_of_models_that_were_pruned_and_trained(images):
    pair = [shifted(small_resnet()) for _ in range(2)]
    for model in pair:
        prune_units(model, {"conv1": [1]}, images)
        model.train()(images).sum().backward()
    mixed = exchange_layers(*pair, "auto")
    pair[1].eval()
    with torch.no_grad():
        assert torch.equal(mixed(images), pair[1](images))


def test_example_of_a_double_model():
    assert example_images(small_resnet().double().eval()).dtype == torch.float64


def test_example_of_a_model_with_a_position_of_four_dimensions():
    class Positional(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.zeros(1, 4, 4, 8))
            self.embed = nn.Conv2d(3, 8, 8, 8)

        def forward(self, x):
            return self.embed(x).permute(0, 2, 3, 1) + self.position

    assert example_images(Positional().eval()).shape == (2, 3, 32, 32)


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


def test_parametrized_weights_are_refused_clearly(images):
    model = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1)), nn.ReLU()
    )
    with pytest.raises(MemorizationError):
        prune_units(model, {"0": [1]}, images)
