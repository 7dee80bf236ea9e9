import copy

import pytest
import torch
from lightly.models.modules import MaskedVisionTransformerTIMM
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torchvision.models import resnet18, resnet34
from torchvision.models.resnet import BasicBlock, ResNet

from lightly_memloc import exchange_layers, find_layers, prune_units
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import ResNet9
from tests.interventions.odd_models import Twice, shifted, small_resnet

MODELS = {
    "resnet18": resnet18,
    "resnet9": lambda: ResNet9(4),
    "lightly": lambda: MaskedVisionTransformerTIMM(
        TimmViT(32, 8, embed_dim=24, depth=2, num_heads=3, num_classes=0)
    ),
}


@pytest.fixture
def pair(shifted):
    def make(factory=lambda: ResNet(BasicBlock, [2, 1, 1, 1])):
        model, donor = shifted(factory()), shifted(factory())
        for module in donor.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked += 7
        return model, donor

    return make


def output(model, images):
    with torch.no_grad():
        return model(images)


def same(model, state):
    found = model.state_dict()
    assert list(found) == list(state)
    return all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("layers", ["auto", "*", "all names"])
@pytest.mark.parametrize("name", MODELS)
def test_all_layers_make_the_donor(pair, images, name, layers):
    model, donor = pair(MODELS[name])
    if layers == "all names":
        layers = [layer.name for layer in find_layers(model)]
    mixed = exchange_layers(model, donor, layers)
    assert not torch.equal(output(model, images), output(donor, images))
    assert torch.equal(output(mixed, images), output(donor, images))
    assert same(mixed, donor.state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_no_layers_change_nothing(pair, images, name):
    model, donor = pair(MODELS[name])
    mixed = exchange_layers(model, donor, [])
    assert mixed is not model
    assert torch.equal(output(mixed, images), output(model, images))
    assert same(mixed, model.state_dict())


@pytest.mark.parametrize(
    ("layers", "prefixes"),
    [
        ("conv1", ("conv1.", "bn1.")),
        ("layer2.0", ("layer2.0.conv2.", "layer2.0.bn2.", "layer2.0.downsample.")),
        (["layer1.0.conv1"], ("layer1.0.conv1.", "layer1.0.bn1.")),
        (["layer1.1", "layer3.*"], ("layer1.1.conv2.", "layer1.1.bn2.", "layer3.")),
        ("layer4", ("layer4.",)),
        (["layer1", "bn1"], ("layer1.", "bn1.")),
    ],
)
def test_chosen_weights_are_the_donors(pair, layers, prefixes):
    model, donor = pair()
    mixed = exchange_layers(model, donor, layers, torch.zeros(2, 3, 32, 32))
    given = donor.state_dict()
    expected = {
        name: given[name] if name.startswith(prefixes) else value
        for name, value in model.state_dict().items()
    }
    assert same(mixed, expected)
    taken = [name for name in given if name.startswith(prefixes)]
    assert any(name.endswith("num_batches_tracked") for name in taken)
    for name in taken:
        assert not torch.equal(given[name], model.state_dict()[name]), name


def test_output_with_the_last_stage_of_another(pair, images):
    model, donor = pair()
    mixed = exchange_layers(model, donor, "layer4")
    with torch.no_grad():
        x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
        x = donor.layer4(model.layer3(model.layer2(model.layer1(x))))
        expected = model.fc(model.avgpool(x).flatten(1))
    assert torch.equal(output(mixed, images), expected)


def test_mlps_of_a_vit(pair, images):
    model, donor = pair(MODELS["lightly"])
    mixed = exchange_layers(model, donor, "mlp")
    by_hand = copy.deepcopy(model)
    for number, block in enumerate(by_hand.vit.blocks):
        block.norm2 = donor.vit.blocks[number].norm2
        block.mlp = donor.vit.blocks[number].mlp
    assert torch.equal(output(mixed, images), output(by_hand, images))


def test_there_and_back(pair):
    model, donor = pair()
    names = [layer.name for layer in find_layers(model)]
    half, rest = names[::2], names[1::2]
    mixed = exchange_layers(model, donor, half)
    assert not same(mixed, model.state_dict())
    assert not same(mixed, donor.state_dict())
    assert same(exchange_layers(mixed, model, half), model.state_dict())
    assert same(exchange_layers(mixed, donor, rest), donor.state_dict())


@pytest.mark.parametrize("layers", ["auto", "layer2.0", []])
def test_given_models_are_left_alone(pair, layers):
    given = pair()
    states = [copy.deepcopy(model.state_dict()) for model in given]
    for model in given:
        model.train()
        model.layer3.eval()
    modes = [[module.training for module in model.modules()] for model in given]
    mixed = exchange_layers(*given, layers)
    assert not any(module.training for module in mixed.modules())
    for model, state, of_modules in zip(given, states, modes, strict=True):
        assert same(model, state)
        assert [module.training for module in model.modules()] == of_modules
    places = {value.data_ptr() for value in mixed.state_dict().values()}
    for model in given:
        assert not places & {value.data_ptr() for value in model.state_dict().values()}
    with torch.no_grad():
        for value in mixed.state_dict().values():
            value.zero_()
    assert all(same(model, state) for model, state in zip(given, states, strict=True))


@pytest.mark.parametrize(
    ("donor", "difference"),
    [
        (lambda: ResNet9(8), r"prep.conv.weight has shape \(4, 3, 3, 3\)"),
        (lambda: nn.Sequential(ResNet9(4)), "missing"),
        (lambda: ResNet9(4).append(nn.Linear(32, 2)), "it is missing"),
    ],
)
@pytest.mark.parametrize("layers", ["auto", "prep.conv", []])
def test_another_architecture_is_refused(donor, difference, layers):
    with pytest.raises(MemorizationError, match=difference):
        exchange_layers(ResNet9(4), donor(), layers)


def test_deeper_donor_is_refused():
    with torch.device("meta"):
        model, donor = resnet18(), resnet34()
    with pytest.raises(MemorizationError, match=r"layer1.2.conv1.weight"):
        exchange_layers(model, donor, "layer4")


@pytest.mark.parametrize("layers", ["layer5", ["conv1", "hidden"]])
def test_unknown_layer_is_refused(pair, layers):
    model, donor = pair()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(MemorizationError, match="No layer of ResNet matches"):
        exchange_layers(model, donor, layers)
    assert same(model, before)


def test_model_that_takes_no_usual_images(pair):
    model, donor = pair(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 2)))
    with pytest.raises(MemorizationError, match="Give two images"):
        exchange_layers(model, donor, "1")
    mixed = exchange_layers(model, donor, "1", torch.zeros(2, 3, 20, 20))
    assert same(mixed, donor.state_dict())


@pytest.mark.parametrize("layers", ["names", "linear"])
def test_all_names_exchange_all_of_a_module_that_runs_twice(images, layers):
    model, donor = shifted(Twice()), shifted(Twice())
    if layers == "names":
        layers = [layer.name for layer in find_layers(model)]
    mixed = exchange_layers(model, donor, layers)
    assert torch.equal(mixed(images), donor(images))


def test_hidden_units_of_a_gated_mlp_are_not_left_out_in_silence():
    block = EvaBlock(16, 2, qkv_fused=False, swiglu_mlp=True, scale_mlp=True)
    model, donor = (shifted(nn.Sequential(copy.deepcopy(block))) for _ in range(2))
    with pytest.raises(MemorizationError, match="'hidden' has no weights"):
        exchange_layers(model, donor, "hidden", torch.zeros(2, 5, 16))


def test_exchange_of_models_that_were_pruned_and_trained(images):
    pair = [shifted(small_resnet()) for _ in range(2)]
    for model in pair:
        prune_units(model, {"conv1": [1]}, images)
        model.train()(images).sum().backward()
    mixed = exchange_layers(*pair, "auto")
    pair[1].eval()
    with torch.no_grad():
        assert torch.equal(mixed(images), pair[1](images))
