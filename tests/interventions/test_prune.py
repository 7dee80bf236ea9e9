import copy
import random
from contextlib import ExitStack

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer, resnet18, resnet50
from torchvision.models.resnet import BasicBlock, ResNet

from lightly_memloc import measure_unit_mem, prune_units
from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import trace_layers
from lightly_memloc.training import ResNet9


def small_resnet():
    return ResNet(BasicBlock, [1, 1, 1, 1])


def narrow(make):
    """A torchvision ResNet with an eighth of the channels, from first to last."""
    with torch.device("meta"):
        model = make()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            narrower = nn.Conv2d(
                max(3, module.in_channels // 8),
                module.out_channels // 8,
                module.kernel_size,
                module.stride,
                module.padding,
                bias=False,
            )
        elif isinstance(module, nn.BatchNorm2d):
            narrower = nn.BatchNorm2d(module.num_features // 8)
        elif isinstance(module, nn.Linear):
            narrower = nn.Linear(module.in_features // 8, 10)
        else:
            continue
        model.set_submodule(name, narrower)
    return model


def narrow_resnet18():
    return narrow(resnet18)


def timm_vit():
    return timm.create_model(
        "vit_tiny_patch16_224",
        depth=2,
        img_size=32,
        patch_size=8,
        embed_dim=24,
        num_classes=5,
    )


def torchvision_vit():
    return VisionTransformer(32, 8, 2, 2, 16, 32)


MODELS = {
    "resnet18": narrow_resnet18,
    "resnet50": lambda: narrow(resnet50),
    "resnet9": lambda: ResNet9(4),
    "timm": timm_vit,
    "torchvision": torchvision_vit,
}


def takers(name, model):
    """The module that takes what a layer's units give, by layer."""
    if name == "timm":
        of = {"patch_embed.proj": "patch_embed.norm"}
        for block in ("blocks.0", "blocks.1"):
            of[f"{block}.attn.proj"] = f"{block}.attn.proj_drop"
            of[f"{block}.mlp.fc1"] = f"{block}.mlp.fc2"
            of[f"{block}.mlp.fc2"] = f"{block}.mlp.drop2"
        return of
    if name == "torchvision":
        of = {"conv_proj": None}
        for number in (0, 1):
            block = f"encoder.layers.encoder_layer_{number}"
            of[f"{block}.self_attention.out_proj"] = f"{block}.dropout"
            of[f"{block}.mlp.0"] = f"{block}.mlp.3"
            of[f"{block}.mlp.3"] = f"{block}.mlp.4"
        return of
    if name == "resnet9":
        return {
            "prep.conv": "prep.pool",
            "layer1.head.conv": "layer1.head.pool",
            "layer1.residual.conv1": "layer1.residual.conv2",
            "layer1.residual": "layer2.conv",
            "layer2.conv": "layer2.pool",
            "layer3.head.conv": "layer3.head.pool",
            "layer3.residual.conv1": "layer3.residual.conv2",
            "layer3.residual": "pool",
        }
    blocks = [
        f"layer{stage}.{number}"
        for stage in (1, 2, 3, 4)
        for number in range(len(model.get_submodule(f"layer{stage}")))
    ]
    following = [f"{block}.conv1" for block in blocks[1:]] + ["avgpool"]
    of = {"conv1": "maxpool"}
    for block, following_block in zip(blocks, following, strict=True):
        of[f"{block}.conv1"] = f"{block}.conv2"
        if hasattr(model.get_submodule(block), "conv3"):
            of[f"{block}.conv2"] = f"{block}.conv3"
        of[block] = following_block
    return of


def given(model, of, images):
    """Units of each layer in the last dimension, and the model's output."""
    seen = {}

    def keep(layer, x):
        seen[layer] = x.detach().movedim(1, -1).clone() if x.dim() == 4 else x.clone()

    with ExitStack() as hooks, torch.no_grad():
        for layer, taker in of.items():
            if taker is None:
                handle = model.get_submodule(layer).register_forward_hook(
                    lambda _, args, x, layer=layer: keep(layer, x)
                )
            else:
                handle = model.get_submodule(taker).register_forward_pre_hook(
                    lambda _, args, layer=layer: keep(layer, args[0])
                )
            hooks.callback(handle.remove)
        seen["output"] = model(images)
    return seen


def most_active(x, number=3):
    """Units whose output is farthest from zero."""
    units = x.abs().flatten(0, -2).amax(0)
    chosen = units.topk(number)
    assert (chosen.values > 0).all()
    return sorted(chosen.indices.tolist())


def hooks(model):
    return [
        {
            key: dict(value)
            for key, value in vars(module).items()
            if "hooks" in key and isinstance(value, dict)
        }
        for module in model.modules()
    ]


def attributes(model):
    return [set(vars(module)) for module in model.modules()]


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one
    )


@pytest.mark.parametrize("name", MODELS)
def test_pruned_units_are_zero_and_the_others_as_before(shifted, images, name):
    model = shifted(MODELS[name]())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Training mode leaves the running statistics as they are.
            module.momentum = 0.0
    if "resnet" in name:
        images = images[..., :16, :16]
    of = takers(name, model)
    traced = trace_layers(model, "auto", "units", images)
    assert list(of) == [layer.name for layer in traced]
    before = {mode: given(model.train(mode), of, images) for mode in (False, True)}
    for layer, taker in of.items():
        units = most_active(before[False][layer])
        others = sorted(set(range(before[False][layer].shape[-1])) - set(units))
        pruned = prune_units(model, {layer: units}, images[:2])
        for mode in (False, True):
            after = given(model.train(mode), {layer: taker}, images)
            unpruned = before[mode][layer]
            assert unpruned[..., units].any()
            assert not after[layer][..., units].any(), layer
            assert torch.equal(after[layer][..., others], unpruned[..., others]), layer
            assert not torch.equal(after["output"], before[mode]["output"]), layer
        pruned.undo()


@pytest.mark.parametrize("name", MODELS)
def test_all_layers_at_once_and_undone(shifted, images, name):
    model = shifted(MODELS[name]())
    of = takers(name, model)
    before = given(model, of, images)
    weights, hooked, attributed = state(model), hooks(model), attributes(model)
    parameters = dict(model.named_parameters())
    required = {name: p.requires_grad for name, p in parameters.items()}
    units = {layer: most_active(before[layer], 2) for layer in of}
    pruned = prune_units(model, units, images)
    assert pruned.units == units
    assert pruned.model is model
    after = given(model, of, images)
    for layer in of:
        assert not after[layer][..., units[layer]].any(), layer
        assert after[layer].any(), layer
    pruned.undo()
    assert same(model.state_dict(), weights)
    assert hooks(model) == hooked
    assert attributes(model) == attributed
    # An optimizer that was made before goes on with these.
    assert dict(model.named_parameters()).keys() == parameters.keys()
    for name, parameter in model.named_parameters():
        assert parameter is parameters[name]
        assert parameter.requires_grad == required[name]
    restored = given(model, of, images)
    assert all(torch.equal(restored[key], before[key]) for key in before)


def test_incoming_weights_and_the_norms_shift_are_masked(shifted, images):
    model = shifted(narrow_resnet18())
    before = state(model)
    prune_units(model, {"layer2.0.conv1": [3, 5]}, images).make_permanent()
    changed = {
        "layer2.0.conv1.weight": before["layer2.0.conv1.weight"],
        "layer2.0.bn1.weight": before["layer2.0.bn1.weight"],
        "layer2.0.bn1.bias": before["layer2.0.bn1.bias"],
    }
    for value in changed.values():
        assert value[[3, 5]].all()
        value[[3, 5]] = 0
    assert same(model.state_dict(), before)


PERMANENT = [
    ("resnet18", {"conv1": [1, 6], "layer3.1.conv1": [7]}),
    ("resnet50", {"layer1.0.conv2": [0, 3], "layer4.2.conv1": [11]}),
    ("timm", {"blocks.1.mlp.fc1": [5, 90], "patch_embed.proj": [0]}),
    ("torchvision", {"encoder.layers.encoder_layer_0.mlp.0": [3, 31]}),
]


@pytest.mark.parametrize(("name", "units"), PERMANENT)
def test_permanent_zeros_are_ordinary_weights(shifted, images, name, units):
    model = shifted(MODELS[name]())
    ordinary, hooked, attributed = (
        list(model.state_dict()),
        hooks(model),
        attributes(model),
    )
    pruned = prune_units(model, units, images)
    of = takers(name, model)
    before = given(model, of, images)
    pruned.make_permanent()
    after = given(model, of, images)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert list(model.state_dict()) == ordinary
    assert hooks(model) == hooked
    assert attributes(model) == attributed
    fresh = MODELS[name]().eval()
    fresh.load_state_dict(model.state_dict())
    loaded = given(fresh, of, images)
    assert all(torch.equal(loaded[key], before[key]) for key in before)
    weights = state(model)
    pruned.undo()
    assert same(model.state_dict(), weights)


def test_permanent_block_keeps_its_scale(shifted, images):
    model = shifted(narrow_resnet18())
    before = state(model)
    pruned = prune_units(model, {"layer3.1": [4, 7], "layer3.0.conv1": [2]}, images)
    output = given(model, {}, images)["output"]
    pruned.make_permanent()
    weights = state(model)
    scale = weights.pop("layer3.1.unit_scale")
    assert weights.keys() == before.keys()
    assert scale.tolist() == [0 if unit in (4, 7) else 1 for unit in range(32)]
    assert not model.layer3[1].unit_scale.requires_grad
    assert torch.equal(given(model, {}, images)["output"], output)


def reloaded(weights, tmp_path):
    torch.save(weights, tmp_path / "weights.pt")
    return torch.load(tmp_path / "weights.pt", weights_only=True)


@pytest.mark.parametrize("permanent", [False, True], ids=["masked", "permanent"])
@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("resnet18", {"conv1": [1], "layer2.0": [0, 9], "layer4.1.conv1": [60]}),
        ("timm", {"blocks.0.mlp.fc1": [5, 90], "blocks.1.attn.proj": [0]}),
        ("torchvision", {"encoder.layers.encoder_layer_0.mlp.0": [3, 31]}),
    ],
)
def test_state_of_a_pruned_model_loads_into_one_pruned_alike(
    shifted, images, tmp_path, name, units, permanent
):
    models = [shifted(MODELS[name]()) for _ in range(2)]
    of = takers(name, models[0])
    for model in models:
        pruned = prune_units(model, units, images)
        if permanent:
            pruned.make_permanent()
    expected = given(models[0], of, images)
    assert not torch.equal(given(models[1], of, images)["output"], expected["output"])
    models[1].load_state_dict(reloaded(models[0].state_dict(), tmp_path))
    loaded = given(models[1], of, images)
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)


def test_masks_are_loaded_with_the_state(shifted, images, tmp_path):
    one, other = shifted(narrow_resnet18()), shifted(narrow_resnet18())
    prune_units(one, {"conv1": [1], "layer2.0": [0, 9]}, images)
    prune_units(other, {"conv1": [2], "layer2.0": [5]}, images)
    other.load_state_dict(reloaded(one.state_dict(), tmp_path))
    of = takers("resnet18", one)
    expected, found = (given(model, of, images) for model in (one, other))
    assert not found["conv1"][..., 1].any()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_copy_of_a_pruned_model(shifted, images):
    model = shifted(small_resnet())
    pruned = prune_units(model, {"conv1": [1], "layer2.0": [0, 9]}, images)
    expected = given(model, {}, images)["output"]
    other = copy.deepcopy(model)
    pruned.undo()
    assert torch.equal(given(other, {}, images)["output"], expected)
    assert not torch.equal(given(model, {}, images)["output"], expected)


@pytest.mark.parametrize("layer", ["layer2.0", "layer2.0.conv1", "conv1"])
def test_pruned_for_good_and_then_others(shifted, images, layer):
    model = shifted(small_resnet())
    of = takers("resnet18", model)
    first, second, third = most_active(given(model, of, images)[layer])
    prune_units(model, {layer: [first]}, images).make_permanent()
    weights, before = state(model), given(model, of, images)
    pruned = prune_units(model, {layer: [second, third]}, images)
    both = given(model, of, images)[layer]
    assert not both[..., [first, second, third]].any()
    assert before[layer][..., second].any()
    pruned.undo()
    assert same(model.state_dict(), weights)
    after = given(model, of, images)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not after[layer][..., first].any()
    prune_units(model, {layer: [second]}, images).make_permanent()
    assert not given(model, of, images)[layer][..., [first, second]].any()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet9", ["prep.conv", "layer1.residual", "layer3.residual.conv1"]),
        ("timm", ["blocks.0.mlp.fc1", "blocks.0.attn.proj", "blocks.1.mlp.fc2"]),
        (
            "torchvision",
            [
                "encoder.layers.encoder_layer_0.mlp.0",
                "encoder.layers.encoder_layer_1.mlp.3",
            ],
        ),
    ],
)
def test_training_leaves_pruned_units_at_zero(shifted, images, name, layers):
    model = shifted(MODELS[name]())
    of = takers(name, model)
    before = given(model, of, images)
    units = {layer: most_active(before[layer], 2) for layer in layers}
    weights = state(model)
    pruned = prune_units(model, units, images)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()
    for _ in range(3):
        loss = (model(torch.randn_like(images)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for training in (True, False):
        after = given(model.train(training), of, images)
        for layer in layers:
            assert not after[layer][..., units[layer]].any(), layer
            assert not torch.equal(after[layer], before[layer])
    pruned.undo()
    for layer in set(layers) - {"layer1.residual"}:
        rows = torch.tensor(units[layer])
        weight, kept = model.state_dict()[f"{layer}.weight"], weights[f"{layer}.weight"]
        assert torch.equal(weight[rows], kept[rows])
        assert (weight != kept).any()


@pytest.mark.parametrize("layer", ["conv1", "layer2.0"])
def test_pruning_twice_is_refused(shifted, images, layer):
    model = shifted(small_resnet())
    pruned = prune_units(model, {layer: [1]}, images)
    weights, hooked = state(model), hooks(model)
    with pytest.raises(MemorizationError, match="already has pruned units"):
        prune_units(model, {layer: [2]}, images)
    with pytest.raises(MemorizationError, match="already has pruned units"):
        prune_units(model, {"layer4.0.conv1": [0], layer: [2]}, images)
    assert same(model.state_dict(), weights)
    assert hooks(model) == hooked
    pruned.undo()
    prune_units(model, {layer: [2]}, images)


def test_undoing_twice_undoes_once(shifted, images):
    model = shifted(small_resnet())
    weights, hooked = state(model), hooks(model)
    pruned = prune_units(model, {"conv1": [1], "layer2.0": [2]}, example=images)
    pruned.undo()
    pruned.undo()
    assert same(model.state_dict(), weights)
    assert hooks(model) == hooked


@pytest.mark.parametrize("first_undone", [0, 1])
def test_layers_pruned_one_after_the_other(shifted, images, first_undone):
    model = shifted(small_resnet())
    of = takers("resnet18", model)
    before, weights = given(model, of, images), state(model)
    units = {layer: most_active(before[layer], 2) for layer in ("conv1", "layer2.0")}
    both = [prune_units(model, {layer: units[layer]}, images) for layer in units]
    both[first_undone].undo()
    after = given(model, of, images)
    for number, (layer, pruned_units) in enumerate(units.items()):
        assert after[layer][..., pruned_units].any() == (number == first_undone)
    both[1 - first_undone].undo()
    assert same(model.state_dict(), weights)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"layer5": [1]}, "No layer of ResNet matches 'layer5'"),
        ({"conv1": [1], "layer1.0.conv9": [1]}, "matches 'layer1.0.conv9'"),
        ({"conv1": [3, 64]}, "Layer conv1 has units 0 to 63, got 64"),
        ({"conv1": [-1, 3]}, "Layer conv1 has units 0 to 63, got -1"),
        ({"layer2.0": [128]}, r"Layer layer2.0 has units 0 to 127, got 128"),
        ({"conv1": [1], "layer1.0": [1], "layer4.0": [512]}, "got 512"),
        ({}, "No layers were asked for"),
    ],
)
def test_refused_units_leave_the_model_alone(shifted, images, units, message):
    model = shifted(small_resnet()).train()
    weights, hooked, attributed = state(model), hooks(model), attributes(model)
    with pytest.raises(MemorizationError, match=message):
        prune_units(model, units, images)
    assert same(model.state_dict(), weights)
    assert hooks(model) == hooked
    assert attributes(model) == attributed
    assert all(module.training for module in model.modules())


def stage(activation):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), activation, nn.Conv2d(6, 4, 3)
    )


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.Softplus(), nn.Hardsigmoid()])
def test_activation_of_zero_that_is_not_zero_is_refused(shifted, images, activation):
    model = shifted(stage(activation))
    weights, hooked = state(model), hooks(model)
    with pytest.raises(MemorizationError, match="pruned units of 0 are not zero"):
        prune_units(model, {"3": [0], "0": [2]}, images)
    assert same(model.state_dict(), weights)
    assert hooks(model) == hooked


def test_units_that_are_zero_for_blank_images_alone_are_refused(images):
    """A norm without a shift makes zeros of a blank image, whatever is pruned."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False), nn.GroupNorm(2, 4, affine=False), nn.ReLU()
    ).eval()
    blank = torch.zeros(2, 3, 8, 8)
    assert not model(blank).any()
    with pytest.raises(MemorizationError, match="pruned units of 0 are not zero"):
        prune_units(model, {"0": [1]}, example=blank)


@pytest.mark.parametrize(
    "activation",
    [nn.GELU(), nn.SiLU(), nn.Tanh(), nn.LeakyReLU(), nn.PReLU(6), nn.Identity()],
)
def test_activations_that_keep_zero(shifted, images, activation):
    model = shifted(stage(activation))
    before = given(model, {"0": "3"}, images)["0"]
    prune_units(model, {"0": [2, 5]}, images)
    after = given(model, {"0": "3"}, images)["0"]
    assert before[..., [2, 5]].all()
    assert not after[..., [2, 5]].any()
    assert torch.equal(after[..., [0, 1, 3, 4]], before[..., [0, 1, 3, 4]])


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x):
        x = x + torch.randn_like(x) * np.random.rand() * random.random()
        return torch.relu(self.norm(self.conv(x)))


def test_pruning_leaves_no_other_trace(shifted):
    model = nn.Sequential(shifted(Noisy()), nn.Dropout()).train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
    random_state = random.getstate()
    for example in (None, torch.ones(2, 3, 9, 9)):
        pruned = prune_units(model, {"0.conv": [4]}, example)
        assert [module.training for module in model.modules()] == modes
        after = dict(model.named_buffers())
        assert all(torch.equal(after[name], buffers[name]) for name in buffers)
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert np.array_equal(np.random.get_state()[1], numpy_state[1])
        assert random.getstate() == random_state
        pruned.undo()


def test_pruned_units_measure_as_dead(encoders, digits, transform):
    model = encoders[0].eval()
    chosen = {"prep.conv": [1], "layer1.residual": [0, 5], "layer3.residual.conv1": [9]}

    def dead():
        table = measure_unit_mem(
            model, digits, transform, np.arange(12), n_views=2
        ).to_pandas()
        rows = table[table["dead"]]
        assert (rows["unit_mem"] == 0).all()
        return set(zip(rows["layer"], rows["unit"], strict=True))

    expected = {(layer, unit) for layer, units in chosen.items() for unit in units}
    before = dead()
    assert not before & expected
    pruned = prune_units(model, chosen)
    assert {(layer, u) for layer, u in dead() if layer in chosen} - before == expected
    pruned.undo()
    assert dead() == before


@pytest.mark.parametrize(
    "units", [[5, 2, 5], (2, 5), np.array([5, 2, 2]), torch.tensor([2, 5])]
)
def test_numbers_of_units(images, units):
    model = small_resnet().eval()
    pruned = prune_units(model, {"conv1": units}, images)
    assert pruned.units == {"conv1": [2, 5]}
    mask = model.conv1.weight_mask.flatten(1)
    assert mask.sum(1).eq(0).nonzero().flatten().tolist() == [2, 5]


def test_images_of_its_own_for_a_model_of_one_channel(shifted):
    model = shifted(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 3))
    )
    prune_units(model, {"0": [3], "3": [1]})
    with torch.no_grad():
        images = torch.randn(5, 1, 28, 28)
        hidden = model[1](model[0](images))
        assert not hidden[:, 3].any()
        assert hidden[:, :3].any()
        output = model(images)
        assert not output[:, 1].any()
        assert output[:, [0, 2]].all()


def test_images_that_the_model_takes(shifted):
    model = shifted(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 3)))
    with pytest.raises(MemorizationError, match="Give two images that it takes"):
        prune_units(model, {"1": [1]})
    prune_units(model, {"1": [1]}, torch.zeros(2, 3, 20, 20))
    output = given(model, {}, torch.randn(5, 3, 20, 20))["output"]
    assert not output[:, 1].any()
    assert output[:, [0, 2]].all()


def test_residual_stream_after_an_mlp(shifted, images):
    model = shifted(timm_vit())
    of = {"blocks.0.mlp": "blocks.1.norm1", "blocks.0.mlp.fc2": "blocks.0.mlp.drop2"}
    before, weights = given(model, of, images), state(model)
    pruned = prune_units(model, {"blocks.0.mlp": [3, 20]}, images)
    after = given(model, of, images)
    others = sorted(set(range(24)) - {3, 20})
    stream = before["blocks.0.mlp"]
    assert stream[..., [3, 20]].all()
    assert not after["blocks.0.mlp"][..., [3, 20]].any()
    assert torch.equal(after["blocks.0.mlp"][..., others], stream[..., others])
    assert torch.equal(after["blocks.0.mlp.fc2"], before["blocks.0.mlp.fc2"])
    pruned.undo()
    assert same(model.state_dict(), weights)


@pytest.mark.parametrize(("layer", "taker"), [("bn1", "relu"), ("layer1", "layer2")])
def test_other_modules_are_masked_at_their_output(shifted, images, layer, taker):
    model = shifted(small_resnet())
    before, weights = given(model, {layer: taker}, images), state(model)
    units = most_active(before[layer])
    pruned = prune_units(model, {layer: units}, images)
    after = given(model, {layer: taker}, images)[layer]
    others = sorted(set(range(64)) - set(units))
    assert not after[..., units].any()
    assert torch.equal(after[..., others], before[layer][..., others])
    pruned.undo()
    assert same(model.state_dict(), weights)


def test_a_mask_at_an_output_has_the_models_type(images):
    model, images = small_resnet().eval().bfloat16(), images.bfloat16()
    prune_units(model, {"layer2.0": [1]}, example=images)
    found = given(model, {"layer2.0": "layer3"}, images)
    assert found["output"].dtype == torch.bfloat16
    assert not found["layer2.0"][..., 1].any()
