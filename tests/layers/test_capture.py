from contextlib import nullcontext

import pytest
import timm
import torch
from lightly.models import ResNetGenerator
from timm.layers import LayerNorm2d
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint
from torchvision.models import VisionTransformer, mobilenet_v3_small, resnet18

from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.layers import captured, trace_layers


def names(model, layers, read, images):
    with torch.no_grad():
        return [layer.name for layer in trace_layers(model, layers, read, images)]


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout2d()
    )


def test_inplace_activation_leaves_the_capture_alone(read, randomized):
    model = randomized(resnet18())
    images = torch.randn(2, 3, 32, 32).double()
    convolved = model.conv1(images)
    normalized = model.bn1(convolved)
    assert (normalized < 0).any()
    found = read(model, images, "units", ["bn1", "relu", "layer1.0.bn1"])
    assert list(found) == ["bn1", "relu", "layer1.0.bn1"]
    assert_close(found["bn1"], normalized)
    assert_close(found["relu"], normalized.clamp(min=0))
    pooled = nn.functional.max_pool2d(normalized.clamp(min=0), 3, 2, 1)
    assert_close(
        found["layer1.0.bn1"], model.layer1[0].bn1(model.layer1[0].conv1(pooled))
    )


def test_output_is_handed_on_while_the_model_runs():
    model = convolutional().eval()
    images = torch.randn(2, 3, 5, 5)
    (layer,) = trace_layers(model, "1", "units", images)
    minima, kept = [], []
    with captured(
        model, [layer], lambda _, x: (minima.append(x.min().item()), kept.append(x))
    ):
        model(images)
    expected = model[1](model[0](images)).min().item()
    assert expected < 0
    assert minima == [expected]
    assert kept[0].min() == 0


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.step = nn.Linear(4, 4)
        self.first = nn.Linear(3, 4)

    def forward(self, x):
        x = self.step(self.first(x.mean((2, 3))))
        x = self.step(torch.tanh(x))
        return self.last(self.step(torch.tanh(x)))


@pytest.mark.parametrize("kind", ["state", "units"])
def test_repeated_calls_are_layers_in_forward_order(read, randomized, kind):
    model = randomized(Recurrent())
    images = torch.randn(2, 3, 4, 4).double()
    first = model.first(images.mean((2, 3)))
    step1 = model.step(first)
    step2 = model.step(step1.tanh())
    step3 = model.step(step2.tanh())
    expected = {
        "first": first,
        "step": step1,
        "step#2": step2,
        "step#3": step3,
        "last": model.last(step3),
    }
    found = read(model, images, kind)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert_close(found[name], value)


def test_chosen_layers_come_in_forward_order():
    images = torch.zeros(2, 3, 4, 4)
    found = names(Recurrent(), ["last", "step", "first"], "units", images)
    assert found == ["first", "step", "step#2", "step#3", "last"]


def test_every_forward_is_captured(randomized):
    model = randomized(Recurrent())
    batches = [torch.randn(size, 3, 4, 4).double() for size in (2, 5)]
    traced = trace_layers(model, ["step"], "units", batches[0])
    seen = []
    with captured(model, traced, lambda layer, x: seen.append((layer.name, x))):
        for images in batches:
            model(images)
    assert [(name, len(x)) for name, x in seen] == [
        ("step", 2),
        ("step#2", 2),
        ("step#3", 2),
        ("step", 5),
        ("step#2", 5),
        ("step#3", 5),
    ]
    first = model.step(model.first(batches[1].mean((2, 3))))
    assert_close(seen[3][1], first)


def test_two_layers_at_one_place(read):
    model = convolutional().eval()
    images = torch.randn(2, 3, 5, 5)
    found = read(model, images, "units", ["0", "2"])
    activated = model[1](model[0](images)).clamp(min=0)
    assert set(found) == {"0", "2"}
    assert_close(found["0"], activated)
    assert_close(found["2"], activated)


class Tuple(nn.Module):
    def __init__(self, container):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.container = container

    def forward(self, x):
        return self.container((x * self.weight[:, None, None], "more"))


class First(nn.Module):
    def forward(self, x):
        return x[0]


@pytest.mark.parametrize("container", [tuple, list])
@pytest.mark.parametrize("layers", ["auto", "0"])
def test_first_tensor_of_several_is_read(read, container, layers):
    model = nn.Sequential(Tuple(container), First())
    images = torch.randn(2, 3, 4, 5)
    expected = torch.stack([images[:, i] * model[0].weight[i] for i in range(3)], dim=1)
    assert_close(read(model, images, "units", layers)["0"], expected)


class Dict(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return {"x": x * self.weight}


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.dict = Dict()
        self.conv = nn.Conv2d(3, 4, 1)
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        return self.conv(self.dict(x)["x"])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("dict", "Layer dict gave no tensor"),
        (["conv", "dict"], "Layer dict gave no tensor"),
        ("unused", "Layer unused never ran"),
        ("linear", "Layer unused never ran"),
        (["conv", "unused"], "Layer unused never ran"),
    ],
)
def test_faulty_layer_is_refused_if_asked_for(layers, message):
    with pytest.raises(MemorizationError, match=message):
        trace_layers(Named(), layers, "state", torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize("layers", ["auto", ["auto"]])
def test_faulty_layers_are_left_out_of_auto(layers):
    with pytest.warns(MemorizationWarning) as caught:
        found = names(Named(), layers, "state", torch.zeros(2, 3, 4, 4))
    assert found == ["conv"]
    (warning,) = caught
    assert "Layer dict gave no tensor" in str(warning.message)
    assert "Layer unused never ran" in str(warning.message)
    assert "conv" not in str(warning.message)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return x


def test_auto_without_any_good_layer_is_refused():
    with pytest.raises(MemorizationError, match="Layer conv never ran"):
        trace_layers(Unused(), "auto", "units", torch.zeros(2, 3, 4, 4))


class Scalar(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x.flatten(1).sum(1) * self.weight


def test_layer_without_units_is_refused():
    model = nn.Sequential(Scalar())
    with pytest.raises(MemorizationError, match=r"Layer 0 gave shape \(2,\)"):
        trace_layers(model, "0", "units", torch.zeros(2, 3, 4, 4))


@pytest.fixture(scope="module")
def swin():
    return SwinTransformer(
        img_size=64,
        patch_size=4,
        window_size=2,
        depths=(1, 1, 1, 1),
        embed_dim=8,
        num_heads=(1, 1, 1, 1),
        num_classes=0,
    ).eval()


# 16, 8, 4 and 2 tokens a side make 64, 16, 4 and 1 windows of 2 x 2 tokens an image.
@pytest.mark.parametrize(
    ("stage", "windows", "channels"), [(0, 64, 8), (1, 16, 16), (2, 4, 32)]
)
def test_windows_are_no_images(swin, stage, windows, channels):
    attention = f"layers.{stage}.blocks.0.attn"
    fault = f"Layer {attention} gave shape {(3 * windows, 4, channels)} for 3 images"
    images = torch.randn(3, 3, 64, 64)
    with pytest.raises(MemorizationError) as refused:
        names(swin, attention, "state", images)
    assert fault in str(refused.value)
    with pytest.warns(MemorizationWarning) as caught:
        found = names(swin, "auto", "state", images)
    assert any(fault in str(warning.message) for warning in caught)
    assert attention not in found
    assert f"{attention}.qkv" not in found
    assert f"layers.{stage}.blocks.0.mlp.fc1" in found


def test_single_window_is_an_image(swin):
    with pytest.warns(MemorizationWarning):
        found = names(swin, "auto", "state", torch.randn(3, 3, 64, 64))
    assert {"layers.3.blocks.0.attn", "layers.3.blocks.0.attn.qkv"} <= set(found)


def test_layer_with_the_other_reading_only():
    model = VisionTransformer(32, 8, 1, 2, 16, 24).eval()
    images = torch.zeros(2, 3, 32, 32)
    block = "encoder.layers.encoder_layer_0"
    with torch.no_grad():
        (hidden,) = trace_layers(model, "hidden", "state", images)
        (attention,) = trace_layers(model, "attention", "units", images)
    assert (hidden.name, hidden.shape) == (f"{block}.mlp.0", (17, 24))
    assert (attention.name, attention.shape) == (f"{block}.self_attention", (17, 16))


@pytest.mark.parametrize(
    ("module", "shape", "channel_dim", "num_units"),
    [
        (nn.Conv2d(5, 7, 1), (7, 6, 6), 1, 7),
        (nn.BatchNorm2d(5), (5, 6, 6), 1, 5),
        (nn.MaxPool2d(2), (5, 3, 3), 1, 5),
        (nn.Linear(6, 4), (5, 6, 4), -1, 4),
        (nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4)), (5, 6, 4), -1, 4),
        (nn.Sequential(nn.Flatten(2), nn.BatchNorm1d(5)), (5, 36), 1, 5),
        (nn.Flatten(2), (5, 36), 2, 36),
        (nn.Flatten(), (180,), 1, 180),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_units_of_a_module(module, shape, channel_dim, num_units):
    model = module if isinstance(module, nn.Sequential) else nn.Sequential(module)
    last = str(len(model) - 1)
    (layer,) = trace_layers(model, last, "units", torch.zeros(2, 5, 6, 6))
    assert layer.shape == shape
    assert layer.channel_dim == channel_dim
    assert layer.num_units == num_units


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.resnet = resnet18()
        self.fails = False

    def forward(self, x):
        x = self.resnet(x)
        if self.fails:
            raise RuntimeError("on the way")
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_is_left(hooks, fails):
    model = Failing().eval()
    model.resnet.layer1.register_forward_hook(lambda *_: None)
    images = torch.zeros(2, 3, 32, 32)
    before = hooks(model)
    traced = trace_layers(model, "auto", "units", images)
    assert hooks(model) == before
    model.fails = fails
    seen = []
    stops = pytest.raises(RuntimeError, match="on the way") if fails else nullcontext()
    with stops, captured(model, traced, lambda layer, _: seen.append(layer.name)):
        assert hooks(model) != before
        model(images)
    assert len(seen) == 17
    assert hooks(model) == before
    model.fails = False
    model(images)
    assert len(seen) == 17


def test_no_hook_is_left_by_a_failed_trace(hooks):
    model = Failing().eval()
    model.fails = True
    before = hooks(model)
    with pytest.raises(RuntimeError, match="on the way"):
        trace_layers(model, "auto", "state", torch.zeros(2, 3, 32, 32))
    assert hooks(model) == before


def test_receiver_that_fails_leaves_no_hook(hooks):
    model = convolutional().eval()
    images = torch.zeros(2, 3, 5, 5)
    traced = trace_layers(model, "auto", "units", images)
    before = hooks(model)

    def refuse(*_):
        raise MemorizationError("refused")

    with (
        pytest.raises(MemorizationError, match="refused"),
        captured(model, traced, refuse),
    ):
        model(images)
    assert hooks(model) == before


class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Tuple(tuple)
        self.moody = False

    def forward(self, x):
        return {"x": x} if self.moody else self.inner(x)[0]


def test_layer_that_stops_giving_tensors_is_refused():
    model = nn.Sequential(Moody())
    images = torch.zeros(2, 3, 4, 4)
    traced = trace_layers(model, "0", "units", images)
    model[0].moody = True
    with (
        pytest.raises(MemorizationError, match="Layer 0 gave no tensor"),
        captured(model, traced, lambda *_: None),
    ):
        model(images)


def stages(model, read, image_size=16):
    layers = trace_layers(
        model.eval(), "auto", read, torch.zeros(2, 3, image_size, image_size)
    )
    return {
        layer.name: (layer.site.module, layer.site.call, layer.shape)
        for layer in layers
    }


class SharedModules(nn.Module):
    """One activation and one pooling module for two convolutions."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.conv2 = nn.Conv2d(4, 5, 3)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(self.relu(self.conv2(self.pool(self.relu(self.conv1(x))))))


def test_shared_modules_belong_to_the_stage_that_runs_them():
    assert stages(SharedModules(), "state") == {
        "conv1": ("pool", 0, (4, 7, 7)),
        "conv2": ("pool", 1, (5, 2, 2)),
    }
    assert stages(SharedModules(), "units") == {
        "conv1": ("relu", 0, (4, 14, 14)),
        "conv2": ("relu", 1, (5, 5, 5)),
    }


def test_one_instance_twice_in_a_sequential():
    act = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), act, nn.Conv2d(4, 5, 3), act)
    assert stages(model, "units") == {
        "0": ("1", 0, (4, 14, 14)),
        "2": ("1", 1, (5, 12, 12)),
    }


def test_stages_go_on_beyond_their_container():
    model = timm.create_model("resnet18d")
    units = stages(model, "units", 32)
    assert units["conv1.6"] == ("act1", 0, (64, 16, 16))
    assert "bn1" not in stages(model, "state", 32)


def test_a_branch_is_no_part_of_the_stage_it_starts_from():
    states = stages(mobilenet_v3_small(), "state", 32)
    assert states["features.1.block.0.0"] == ("features.1.block.0.2", 0, (16, 8, 8))


def test_an_empty_shortcut_is_not_taken_for_the_end_of_a_stage():
    states = stages(ResNetGenerator("resnet-18", width=0.25), "state", 32)
    assert states["layer1.0.conv1"][0] == "layer1.0.bn1"
    assert states["layer1.0"][0] == "layer1.0"
    assert "linear" not in states


def test_channels_last_blocks():
    units = stages(timm.create_model("convnext_tiny", depths=(1, 1, 1, 1)), "units", 64)
    assert units["stages.0.blocks.0.mlp.fc1"][2] == (16, 16, 384)
    layers = trace_layers(
        timm.create_model("convnext_tiny", depths=(1, 1, 1, 1)).eval(),
        "auto",
        "units",
        torch.zeros(2, 3, 64, 64),
    )
    by_name = {layer.name: layer.num_units for layer in layers}
    assert by_name["stages.0.blocks.0.conv_dw"] == 96
    assert by_name["stages.0.blocks.0.mlp.fc1"] == 384
    assert by_name["stages.0.blocks.0.mlp"] == 96


def test_a_forward_pass_that_begins_inside_the_model_is_captured():
    model = nn.Sequential(convolutional()).eval()
    images = torch.randn(2, 3, 5, 5)
    layers = trace_layers(model, "auto", "units", images)
    seen = []
    with captured(model, layers, lambda layer, x: seen.append(x.clone())):
        for scale in (1, 2, 3):
            model[0](scale * images)
    for scale, found in zip((1, 2, 3), seen, strict=True):
        assert_close(found, model(scale * images))


def test_checkpointed_modules_are_captured_once():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=False)

    model, x = Checkpointed(), torch.randn(2, 3)
    layers = trace_layers(model, "inner.0", "state", x)
    seen = []
    with captured(model, layers, lambda layer, y: seen.append(y.detach())):
        model(x).sum().backward()
    (found,) = seen
    # The state after the first layer is that after its activation.
    assert_close(found, model.inner[0](x).tanh().detach())
    assert model.inner[0].weight.grad is not None


def test_an_error_for_numbers_that_are_not_finite_names_the_layer():
    model, images = convolutional().eval(), torch.randn(2, 3, 5, 5)
    layers = trace_layers(model, "auto", "units", images)

    def refuse(layer, output):
        raise NonFiniteError("Image 7 gave NaN.")

    with (
        pytest.raises(NonFiniteError, match=r"^Layer 0: Image 7 gave NaN\.$"),
        captured(model, layers, refuse),
    ):
        model(images)


def test_units_of_a_layer_norm_over_channels():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), LayerNorm2d(6)).eval()
    (layer,) = trace_layers(model, "auto", "units", torch.zeros(2, 3, 5, 5))
    assert (layer.shape, layer.channel_dim, layer.num_units) == ((6, 3, 3), 1, 6)
