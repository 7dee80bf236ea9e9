import copy
import gc
import random
import weakref
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
import timm
import torch
from lightly.models.modules import MaskedVisionTransformerTIMM
from lightly.models.utils import random_token_mask
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms.functional import pil_to_tensor

from lightly_memloc import OnlineUnitMem
from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.results import UnitMemResult
from tests.benchmarks.online_agreement import agreement


class ConvNet(nn.Module):
    """Two convolutions and a projection; ``stage`` may be checkpointed."""

    def __init__(self, dropout=0.0, checkpointing=None):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.act1 = nn.ReLU(inplace=True)
        self.drop = nn.Dropout2d(dropout)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2)
        self.act2 = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.project = nn.Linear(6, 5)
        self.checkpointing = checkpointing
        with torch.no_grad():
            # A unit that is dead, whatever it is shown, and stays so in training.
            self.bn1.weight[1] = 0
            self.bn1.bias[1] = -1

    def stage(self, x):
        return self.pool(self.act2(self.conv2(self.drop(x))))

    def encode(self, x):
        x = self.act1(self.bn1(self.conv1(x)))
        if self.checkpointing is not None:
            x = checkpoint(self.stage, x, **self.checkpointing)
        else:
            x = self.stage(x)
        return x.flatten(1)

    def forward(self, x):
        return self.project(self.encode(x))


class TwiceActivated(ResNet):
    """A residual network, each block of which calls its one relu twice."""

    def __init__(self, checkpointing=None):
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.fc = nn.Identity()
        # Small images: all stages have several positions.
        self.conv1.stride = 1
        self.maxpool = nn.Identity()
        self.checkpointing = checkpointing

    def encode(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            if self.checkpointing is not None:
                x = checkpoint(stage, x, **self.checkpointing)
            else:
                x = stage(x)
        return self.avgpool(x).flatten(1)

    def forward(self, x):
        return self.encode(x)


class Restless(nn.Module):
    """Draws random numbers and counts its calls, in training and evaluation alike."""

    def __init__(self):
        super().__init__()
        self.inner = ConvNet(dropout=0.3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        noise = torch.rand_like(x) + np.random.rand() + random.random()
        return self.inner(x + noise)


def vision_transformer(**options):
    return timm.models.VisionTransformer(
        img_size=16,
        patch_size=4,
        embed_dim=8,
        depth=2,
        num_heads=2,
        num_classes=0,
        dynamic_img_size=True,
        **options,
    )


class Spot(NamedTuple):
    """Where a layer's units are read: whichever module holds them, by its own hook."""

    module: str
    side: str = "output"
    units: int = 1
    call: int = 0
    calls: int = 1


CONV_NET = {
    "conv1": Spot("act1"),
    "conv2": Spot("act2"),
    "project": Spot("project"),
}
CONV_NET_ENCODED = {name: CONV_NET[name] for name in ("conv1", "conv2")}


def vit_spots(prefix=""):
    spots = {f"{prefix}patch_embed.proj": Spot(f"{prefix}patch_embed.proj")}
    for block in (f"{prefix}blocks.0", f"{prefix}blocks.1"):
        spots[f"{block}.attn.proj"] = Spot(f"{block}.attn.proj", units=-1)
        spots[f"{block}.mlp.fc1"] = Spot(f"{block}.mlp.fc2", side="input", units=-1)
        spots[f"{block}.mlp.fc2"] = Spot(f"{block}.mlp.fc2", units=-1)
    return spots


def resnet_spots():
    spots = {"conv1": Spot("relu")}
    for stage in ("layer1.0", "layer2.0", "layer3.0", "layer4.0"):
        spots[f"{stage}.conv1"] = Spot(f"{stage}.relu", call=0, calls=2)
        spots[stage] = Spot(f"{stage}.relu", call=1, calls=2)
    return spots


RECTIFIERS = {
    "auto": lambda values: values.clip(min=0),
    "abs": np.abs,
    "none": lambda values: values,
}


class BruteForce:
    """Activations by layer and image, written down by hooks of the test's own."""

    def __init__(self, encoder, spots, rectify="auto"):
        self.encoder = encoder
        self.spots = spots
        self.rectifier = RECTIFIERS[rectify]
        self.mu = {layer: {} for layer in spots}
        self.is_paused = False

    @contextmanager
    def paused(self):
        """Write nothing down: a backward pass may run modules again."""
        self.is_paused = True
        yield
        self.is_paused = False

    @contextmanager
    def batch(self, images):
        """Write down the forward passes of a batch."""
        outputs = {(spot.module, spot.side): [] for spot in self.spots.values()}
        handles = []
        for name, side in outputs:
            module = self.encoder.get_submodule(name)

            def keep(tensor, kept=outputs[name, side]):
                # Training alone counts: the tracker may look at the encoder first.
                if self.encoder.training and not self.is_paused:
                    kept.append(tensor.detach().double().numpy().copy())

            if side == "input":
                hook = module.register_forward_pre_hook(
                    lambda _, args, keep=keep: keep(args[0])
                )
            else:
                hook = module.register_forward_hook(
                    lambda _, args, output, keep=keep: keep(output)
                )
            handles.append(hook)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        for layer, spot in self.spots.items():
            passes = outputs[spot.module, spot.side][spot.call :: spot.calls]
            for place, image in enumerate(images):
                views = []
                for output in passes:
                    for row in range(place, len(output), len(images)):
                        units_last = np.moveaxis(output[row : row + 1], spot.units, -1)
                        by_position = units_last.reshape(-1, units_last.shape[-1])
                        views.append(self.rectifier(by_position).mean(axis=0))
                # An image that comes again counts as it was seen first.
                self.mu[layer].setdefault(image, sum(views) / len(views))


def assert_equals_brute_force(result, brute_force):
    table = result.to_pandas()
    assert list(dict.fromkeys(table["layer"])) == list(brute_force.mu)
    images = len(next(iter(brute_force.mu.values())))
    assert result.settings["images"] == images
    for layer, mu in brute_force.mu.items():
        rows = table[table["layer"] == layer]
        names = list(mu)
        assert rows["unit"].tolist() == list(range(len(mu[names[0]])))
        for row in rows.itertuples():
            values = [float(mu[name][row.unit]) for name in names]
            best = max(range(len(values)), key=values.__getitem__)
            others = [value for i, value in enumerate(values) if i != best]
            largest, rest = values[best], sum(others) / len(others)
            where = f"{layer}, unit {row.unit}"
            assert row.mu_max == pytest.approx(largest, rel=1e-5, abs=1e-7), where
            assert row.mu_rest == pytest.approx(rest, rel=1e-5, abs=1e-7), where
            assert row.dead == (largest == 0), where
            if row.dead:
                assert row.unit_mem == 0, where
                continue
            expected = (largest - rest) / (largest + rest)
            assert row.unit_mem == pytest.approx(expected, rel=1e-5, abs=1e-5), where
            if isinstance(names[best], str):
                assert row.filename == names[best], where
            else:
                assert row.index == names[best], where


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def batches(digits):
    """Three batches of 16x16 pixels, the last one smaller, with file names."""
    chosen = [range(0, 6), range(6, 12), range(12, 16)]
    return [
        (
            torch.stack(
                [
                    F.interpolate(
                        pil_to_tensor(digits[index][0])[None] / 255.0, size=(16, 16)
                    )[0]
                    for index in indices
                ]
            ),
            [digits.filenames[index] for index in indices],
        )
        for indices in chosen
    ]


def view(images, size=16):
    """A view of each image, rolled and noisy, in the size asked for."""
    shift = torch.randint(-3, 4, (2,)).tolist()
    rolled = images.roll(shift, dims=(2, 3)) + 0.2 * torch.rand_like(images)
    return F.interpolate(rolled, size=(size, size))


def together(encode, images):
    return [encode(torch.cat([view(images), view(images)]))]


def one_by_one(encode, images):
    return [encode(view(images)), encode(view(images))]


def multi_crop(encode, images):
    """Two global views together, two local ones together, and two alone."""
    return [
        encode(torch.cat([view(images), view(images)])),
        encode(torch.cat([view(images, 8), view(images, 8)])),
        encode(view(images, 8)),
        encode(view(images, 12)),
    ]


def loss_of(outputs):
    features = torch.cat([output.float() for output in outputs])
    return (features - 1).pow(2).mean() - features.std()


def hooks_of(model):
    return sum(
        len(value)
        for module in model.modules()
        for name, value in vars(module).items()
        if "hooks" in name and isinstance(value, dict)
    )


def sgd(encoder):
    return torch.optim.SGD(encoder.parameters(), lr=0.05, momentum=0.9)


def train(encoder, encode, batches, tracker, brute_force, views=together):
    """Train for an epoch; the tracker sees the whole step."""
    optimizer = sgd(encoder)
    for images, names in batches:
        with tracker.batch(names):
            with brute_force.batch(names):
                outputs = views(encode, images)
            # What the backward pass runs again is not written down.
            loss = loss_of(outputs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert hooks_of(encoder) == 0


@pytest.mark.parametrize("views", [together, one_by_one, multi_crop])
def test_unit_mem_of_a_conv_net_is_that_of_a_brute_force(batches, views):
    encoder = ConvNet(dropout=0.3)
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    before = copy.deepcopy(encoder.state_dict())
    train(encoder, encoder, batches, tracker, brute_force, views)
    assert not torch.equal(before["conv1.weight"], encoder.conv1.weight)
    result = tracker.compute()
    assert_equals_brute_force(result, brute_force)
    layers = result.layers_to_pandas().set_index("layer")
    assert layers["rectified"].to_dict() == {
        "conv1": False,
        "conv2": False,
        "project": True,
    }
    # One unit is dead by construction.
    assert result.to_pandas().query("layer == 'conv1'")["dead"].tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert layers.loc["conv1", "dead"] == 1


@pytest.mark.parametrize("views", [together, one_by_one, multi_crop])
def test_unit_mem_of_a_vision_transformer_is_that_of_a_brute_force(batches, views):
    encoder = vision_transformer(proj_drop_rate=0.2, drop_path_rate=0.3)
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, vit_spots())
    train(encoder, encoder, batches, tracker, brute_force, views)
    result = tracker.compute()
    assert_equals_brute_force(result, brute_force)
    assert result.layers_to_pandas()["rectified"].all()


def test_masked_tokens_are_left_out_when_the_forward_of_the_root_is_not_called(
    batches,
):
    encoder = MaskedVisionTransformerTIMM(vit=vision_transformer())
    tracker = OnlineUnitMem(encoder)
    brute_force = BruteForce(encoder, vit_spots("vit."))
    lengths = []

    def encode(images):
        keep, _ = random_token_mask(
            (len(images), encoder.sequence_length), mask_ratio=0.6
        )
        tokens = encoder.encode(images, idx_keep=keep)
        lengths.append(tokens.shape[1])
        return tokens

    train(encoder, encode, batches, tracker, brute_force, one_by_one)
    assert set(lengths) == {7}
    assert encoder.sequence_length == 17
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("entry", ["forward", "encode"])
@pytest.mark.parametrize("views", [together, one_by_one])
def test_a_module_that_runs_twice_in_a_forward_is_two_layers(batches, entry, views):
    encoder = TwiceActivated()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, resnet_spots())
    encode = encoder if entry == "forward" else encoder.encode
    train(encoder, encode, batches, tracker, brute_force, views)
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("rectify", ["abs", "none"])
def test_outputs_are_rectified_as_asked_for(batches, rectify):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder, layers="project", rectify=rectify)
    spots = {"project": CONV_NET["project"]}
    brute_force = BruteForce(encoder, spots, rectify)
    train(encoder, encoder, batches, tracker, brute_force)
    result = tracker.compute()
    assert_equals_brute_force(result, brute_force)
    assert result.settings["rectify"] == rectify
    assert result.layers_to_pandas()["rectified"].tolist() == [rectify == "abs"]


def test_an_unknown_rectification_is_refused():
    with pytest.raises(MemorizationError, match="rectify"):
        OnlineUnitMem(ConvNet(), rectify="square")


def test_an_image_seen_twice_counts_once_as_it_was_seen_first(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    (first, first_names), (second, second_names), _ = batches
    # Within a batch, in the next batch, and much later.
    repeated = [
        (torch.cat([first, first[:2]]), first_names + first_names[:2]),
        (torch.cat([second, first[1:3]]), second_names + first_names[1:3]),
        (first * 3, first_names),
    ]
    train(encoder, encoder, repeated, tracker, brute_force)
    assert len(brute_force.mu["conv1"]) == 12
    assert_equals_brute_force(tracker.compute(), brute_force)


def test_a_reset_begins_another_epoch(batches):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder)
    values = []
    for epoch in range(3):
        brute_force = BruteForce(encoder, CONV_NET)
        train(encoder, encoder, batches[epoch % 2 :], tracker, brute_force)
        result = tracker.compute()
        assert_equals_brute_force(result, brute_force)
        values.append(result.to_pandas()["mu_max"].tolist())
        tracker.reset()
    assert values[0] != values[2]


def test_computing_does_not_end_the_epoch(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    for number in range(len(batches)):
        batch = batches[number : number + 1]
        train(encoder, encoder, batch, tracker, brute_force)
        for _ in range(2):
            assert_equals_brute_force(tracker.compute(), brute_force)


def test_mixed_precision_is_taken_as_it_is(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    types = set()

    def encode(images):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = encoder(images)
        types.add(output.dtype)
        return output

    train(encoder, encode, batches, tracker, brute_force, one_by_one)
    assert types == {torch.bfloat16}
    assert_equals_brute_force(tracker.compute(), brute_force)


REENTRANT = {"use_reentrant": True}
NOT_REENTRANT = {"use_reentrant": False}


@pytest.mark.parametrize("checkpointing", [REENTRANT, NOT_REENTRANT])
@pytest.mark.parametrize("views", [together, one_by_one])
def test_a_checkpointed_stage_counts_as_it_ran_in_the_forward(
    batches, checkpointing, views
):
    encoder = ConvNet(0.3, checkpointing)
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    train(encoder, encoder, batches, tracker, brute_force, views)
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("checkpointing", [REENTRANT, NOT_REENTRANT])
def test_a_view_without_gradients_weighs_as_much_as_one_that_is_recomputed(
    batches, checkpointing
):
    encoder = ConvNet(checkpointing=checkpointing)
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)

    def target_first(encode, images):
        with torch.no_grad():
            target = encode(2 * view(images))
        return [target, encode(view(images))]

    train(encoder, encoder, batches, tracker, brute_force, target_first)
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("checkpointing", [None, REENTRANT, NOT_REENTRANT])
def test_recomputed_calls_do_not_shift_those_of_the_next_view(batches, checkpointing):
    encoder = TwiceActivated(checkpointing)
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, resnet_spots())
    optimizer = sgd(encoder)
    for images, names in batches:
        with tracker.batch(names), brute_force.batch(names):
            optimizer.zero_grad()
            for _ in range(2):
                loss = loss_of([encoder.encode(view(images))])
                with brute_force.paused():
                    loss.backward()
        optimizer.step()
    assert_equals_brute_force(tracker.compute(), brute_force)


def test_gradients_accumulate_over_batches_that_are_tracked_apart(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    optimizer = sgd(encoder)
    for images, names in batches:
        optimizer.zero_grad()
        half = len(names) // 2
        for part in (slice(half), slice(half, None)):
            with tracker.batch(names[part]):
                with brute_force.batch(names[part]):
                    outputs = one_by_one(encoder, images[part])
                loss_of(outputs).backward()
        optimizer.step()
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_batch_that_fails_is_dropped_and_the_tracker_goes_on(
    batches, failing, moment
):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)

    def fail(*_):
        raise RuntimeError("out of memory")

    def step(images):
        if moment == "before":
            fail()
        loss_of(together(encoder, 5 * images)).backward()
        fail()

    for number, batch in enumerate(batches):
        if number == failing:
            images, names = batch
            if moment == "within":
                handle = encoder.conv2.register_forward_hook(fail)
            with (
                pytest.raises(RuntimeError, match="out of memory"),
                tracker.batch(names),
            ):
                step(images)
            if moment == "within":
                handle.remove()
            assert hooks_of(encoder) == 0
            assert encoder.training
        else:
            train(encoder, encoder, [batch], tracker, brute_force)
    result = tracker.compute()
    assert_equals_brute_force(result, brute_force)
    dropped = set(batches[failing][1])
    assert not dropped & set(result.to_pandas()["filename"])


def test_a_dropped_batch_makes_no_layer_rectified():
    encoder = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    with torch.no_grad():
        encoder[0].weight.fill_(1)
        encoder[0].bias.fill_(0)
    tracker = OnlineUnitMem(encoder)
    images = torch.rand(2, 3, 4, 4)

    def step():
        encoder(-images)
        raise RuntimeError("out of memory")

    with (
        pytest.raises(RuntimeError, match="out of memory"),
        tracker.batch(["c", "d"]),
    ):
        step()
    with tracker.batch(["a", "b"]):
        encoder(images)
    assert tracker.compute().layers_to_pandas()["rectified"].tolist() == [False]


def test_without_indices_images_are_known_by_their_file_names(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    train(encoder, encoder, batches, tracker, brute_force)
    units = tracker.compute().to_pandas()
    assert set(units["index"]) == {-1}
    assert set(units["filename"]) <= {name for _, names in batches for name in names}


def test_with_indices_images_are_known_by_them(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    # Two images may have one name, as in folders of several data sets.
    names_of = {}
    index = 1000
    for images, _ in batches:
        indices = [index - 7 * i for i in range(len(images))]
        names = [f"{i % 3}.png" for i in range(len(images))]
        names_of |= dict(zip(indices, names, strict=True))
        index += 100
        with tracker.batch(names, indices), brute_force.batch(indices):
            together(encoder, images)
    assert len(names_of) == 16
    result = tracker.compute()
    assert_equals_brute_force(result, brute_force)
    for row in result.to_pandas().itertuples():
        assert row.filename == names_of[row.index]


def test_rows_that_are_no_multiple_of_the_images_are_refused(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    images, names = batches[0]
    with (
        pytest.raises(
            MemorizationError, match=r"conv1 returned 6 rows for .* 4 images"
        ),
        tracker.batch(names[:4]),
    ):
        encoder(images)
    assert hooks_of(encoder) == 0
    train(encoder, encoder, batches, tracker, brute_force)
    assert_equals_brute_force(tracker.compute(), brute_force)


def test_a_step_without_the_encoder_is_not_counted(batches):
    encoder, other = ConvNet(), ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    images, names = batches[0]
    with tracker.batch(names):
        other(images)
    assert hooks_of(encoder) == 0
    with pytest.raises(MemorizationError, match=r"had 0.* encoder is the one being"):
        tracker.compute()
    train(encoder, encoder, batches[1:2], tracker, brute_force)
    with tracker.batch(names):
        other(images)
    train(encoder, encoder, batches[2:], tracker, brute_force)
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("layers", ["auto", ["conv2", "project"]])
@pytest.mark.parametrize("without", [{0}, {1}, {0, 2}])
def test_a_layer_is_measured_on_the_steps_in_which_it_runs(batches, layers, without):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder, layers=layers)
    spots = CONV_NET if layers == "auto" else {name: CONV_NET[name] for name in layers}
    names = [name for name in spots if name != "project"]
    always = BruteForce(encoder, {name: spots[name] for name in names})
    at_times = BruteForce(encoder, {"project": spots["project"]})

    def epoch():
        for number, (images, names) in enumerate(batches):
            if number in without:
                with tracker.batch(names), always.batch(names):
                    together(encoder.encode, images)
            else:
                with tracker.batch(names), always.batch(names), at_times.batch(names):
                    together(encoder, images)

    with pytest.warns(MemorizationWarning, match=r"did not run in .*: project\."):
        epoch()
    result = tracker.compute()
    assert result.settings["images"] == 16
    for brute_force in (always, at_times):
        units = result.to_pandas()
        part = units[units["layer"].isin(brute_force.mu)]
        images = len(next(iter(brute_force.mu.values())))
        assert_equals_brute_force(
            UnitMemResult({"images": images}, {**result.tables, "units": part}),
            brute_force,
        )


@pytest.mark.parametrize("layers", ["project", "linear"])
def test_the_one_layer_asked_for_that_never_runs_gives_no_result(batches, layers):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder, layers=layers)
    images, names = batches[0]
    with tracker.batch(names):
        encoder.encode(images)
    assert hooks_of(encoder) == 0
    with pytest.raises(MemorizationError, match=r"at least two images; .* had 0"):
        tracker.compute()


def test_an_automatic_layer_that_training_does_not_run_is_left_out(batches):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder)
    brute_force = BruteForce(encoder, CONV_NET_ENCODED)
    with pytest.warns(MemorizationWarning, match="project"):
        train(encoder, encoder.encode, batches[:1], tracker, brute_force)
    # It is known now: no more warnings, which pytest would turn into errors.
    train(encoder, encoder.encode, batches[1:], tracker, brute_force)
    assert_equals_brute_force(tracker.compute(), brute_force)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("first", [True, False])
def test_activations_that_are_not_finite_name_their_layer(batches, value, first):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    if not first:
        train(encoder, encoder, batches[:1], tracker, brute_force)
    before = copy.deepcopy(encoder.state_dict())
    with torch.no_grad():
        encoder.conv2.bias[3] = value
    images, names = batches[1]
    with pytest.raises(NonFiniteError, match="Layer conv2"), tracker.batch(names):
        encoder(images)
    assert hooks_of(encoder) == 0
    encoder.load_state_dict(before)
    train(encoder, encoder, batches[2:], tracker, brute_force)
    assert_equals_brute_force(tracker.compute(), brute_force)


def test_without_a_batch_there_is_nothing_to_compute(batches):
    encoder = ConvNet()
    tracker, brute_force = OnlineUnitMem(encoder), BruteForce(encoder, CONV_NET)
    with pytest.raises(MemorizationError, match=r"at least two images; .* had 0"):
        tracker.compute()
    train(encoder, encoder, batches, tracker, brute_force)
    tracker.reset()
    with pytest.raises(MemorizationError, match=r"at least two images; .* had 0"):
        tracker.compute()


def test_one_image_is_too_few(batches):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder)
    images, names = batches[0]
    with tracker.batch(names[:1]):
        together(encoder, images[:1])
    with pytest.raises(MemorizationError, match="two images"):
        tracker.compute()


def trained(make, entry, autocast, batches, tracked):
    """What two epochs of training leave behind, gradients and generators included."""
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    encoder = make()
    tracker = OnlineUnitMem(encoder)
    optimizer = sgd(encoder)
    # A caller that looks at the mode in the middle of a step must find it unchanged.
    modes = []
    for _ in range(2):
        for images, names in batches:
            images = images + np.random.rand() + random.random()

            def step(images=images):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                    outputs = one_by_one(getattr(encoder, entry), images)
                    loss = loss_of(outputs)
                modes.append([module.training for module in encoder.modules()])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

            if tracked:
                with tracker.batch(names):
                    step()
            else:
                step()
        if tracked:
            tracker.compute()
            tracker.reset()
    numpy_state = np.random.get_state()
    return {
        "weights": list(encoder.state_dict().values()),
        "gradients": [p.grad for p in encoder.parameters() if p.grad is not None],
        "momentum": [
            state["momentum_buffer"] for state in optimizer.state.values() if state
        ],
        "generator": [torch.get_rng_state()],
        "rest": (
            modes,
            [module.training for module in encoder.modules()],
            [p.requires_grad for p in encoder.parameters()],
            numpy_state[1].tolist(),
            numpy_state[2:],
            random.getstate(),
            torch.is_grad_enabled(),
        ),
    }


def frozen_in_part():
    encoder = ConvNet(dropout=0.3)
    encoder.bn1.eval()
    encoder.conv1.requires_grad_(False)
    return encoder


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    ("make", "entry"),
    [
        (lambda: ConvNet(dropout=0.3), "forward"),
        (lambda: ConvNet(0.3, REENTRANT), "forward"),
        (lambda: ConvNet(0.3, NOT_REENTRANT), "forward"),
        (frozen_in_part, "forward"),
        (Restless, "forward"),
        (TwiceActivated, "encode"),
        (
            lambda: vision_transformer(proj_drop_rate=0.2, drop_path_rate=0.3),
            "forward",
        ),
        (
            lambda: MaskedVisionTransformerTIMM(
                vit=vision_transformer(proj_drop_rate=0.2)
            ),
            "encode",
        ),
    ],
    ids=[
        "conv net",
        "reentrant checkpoint",
        "checkpoint",
        "frozen in part",
        "restless",
        "twice activated",
        "vision transformer",
        "masked vision transformer",
    ],
)
def test_training_goes_on_as_if_the_tracker_was_not_there(
    batches, make, entry, autocast
):
    alone = trained(make, entry, autocast, batches, tracked=False)
    tracked = trained(make, entry, autocast, batches, tracked=True)
    assert alone.pop("rest") == tracked.pop("rest")
    assert len(alone["gradients"]) > 0
    for what, tensors in alone.items():
        assert len(tensors) == len(tracked[what])
        for one, other in zip(tensors, tracked[what], strict=True):
            assert torch.equal(one, other), what


def reachable_tensors(tracker):
    """All tensors that a tracker holds, other than those of its encoder."""
    own = {id(value) for value in tracker.model.state_dict(keep_vars=True).values()}
    seen, found = {id(tracker.model)}, []
    todo = [vars(tracker)]
    while todo:
        value = todo.pop()
        is_code = callable(value) and not isinstance(value, nn.Module)
        if id(value) in seen or is_code:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if id(value) not in own:
                found.append(value)
            continue
        todo += gc.get_referents(value)
    return found


def test_nothing_of_the_graph_is_kept(batches):
    encoder = ConvNet()
    tracker = OnlineUnitMem(encoder)
    passing = []

    def remember(module, args, output):
        # At the end of a pass; a trace does not record gradients.
        if output.requires_grad:
            passing.append(weakref.ref(output))

    for module in encoder.children():
        module.register_forward_hook(remember)
    for images, names in batches:
        with tracker.batch(names):
            outputs = one_by_one(encoder, images)
            loss_of(outputs).backward()
    del outputs, images
    gc.collect()
    assert len(passing) >= 3 * 2 * 6
    assert all(reference() is None for reference in passing)
    tensors = reachable_tensors(tracker)
    assert len(tensors) > 3
    assert not any(tensor.requires_grad for tensor in tensors)
    units, images = 15, 16
    assert all(tensor.numel() <= units * images for tensor in tensors)


def test_units_rank_as_they_do_when_measured_at_the_epochs_end():
    layers = agreement(n_images=200, epochs=15, batch_size=50)
    assert len(layers) == 8
    assert (layers["correlation"] > 0.5).all()
    assert layers["correlation"].median() > 0.75


def test_a_compiled_encoder_says_why_nothing_was_seen():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    compiled = torch.compile(model, backend="eager")
    images = torch.rand(4, 3, 8, 8)
    compiled(images)
    tracker = OnlineUnitMem(compiled)
    with tracker.batch(list("abcd")):
        tracker.model(images)
    with pytest.raises(MemorizationError, match="The encoder is compiled"):
        tracker.compute()
