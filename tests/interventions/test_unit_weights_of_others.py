"""Weights that are shared, computed or frozen; what is kept; the order of parameters."""

import copy

import numpy as np
import pytest
import torch
from timm.layers import ScaledStdConv2d
from torch import nn
from torch.utils.data import Dataset
from torchvision.ops import FrozenBatchNorm2d

from lightly_memloc import exchange_layers, measure_layer_mem, prune_units
from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions import tune_unit
from lightly_memloc.probes import ProbeTask, fine_tune, linear_probe
from tests.layers.test_shared_weights import of_one_tensor, plain, tied, with_two_names

IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
SHARED = [tied, of_one_tensor]


def seeded(make, seed=0):
    torch.manual_seed(seed)
    return make().eval()


def units_of(model, name):
    """What a module gives."""
    seen = []
    handle = model.get_submodule(name).register_forward_hook(
        lambda _, args, output: seen.append(output)
    )
    with torch.no_grad():
        model(IMAGES)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("make", SHARED)
def test_pruning_leaves_the_other_user_of_the_weights_alone(make):
    model = seeded(make)
    weights = {name: of.clone() for name, of in model.state_dict().items()}
    untouched = copy.deepcopy(model)
    pruned = prune_units(model, {"2": [1, 2]}, IMAGES)
    masked = model(IMAGES)
    assert not units_of(model, "2")[:, [1, 2]].any()
    # The other user computes what it computed from what it is given.
    given = units_of(model, "3")
    assert torch.equal(untouched[4](given), model[4](given))
    assert not torch.equal(masked, untouched(IMAGES))
    pruned.make_permanent()
    assert torch.equal(model(IMAGES), masked)
    for name, value in weights.items():
        assert torch.equal(model.state_dict()[name], value)


@pytest.mark.parametrize("make", [*SHARED, with_two_names])
def test_pruning_shared_weights_is_undone(make):
    model = seeded(make)
    entries, before = list(model.state_dict()), model(IMAGES)
    prune_units(model, {"2": [1, 2]}, IMAGES).undo()
    assert list(model.state_dict()) == entries
    assert torch.equal(model(IMAGES), before)


def test_a_module_of_two_names_is_pruned_in_its_weights():
    model = seeded(with_two_names)
    prune_units(model, {"2": [1]}, IMAGES).make_permanent()
    assert not model.again.weight[1].any()


def hook_weight_norm(layer):
    return nn.utils.weight_norm(layer)


def hook_spectral_norm(layer):
    return nn.utils.spectral_norm(layer)


KINDS = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
    "hook weight_norm": hook_weight_norm,
    "hook spectral_norm": hook_spectral_norm,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d, FrozenBatchNorm2d])
def test_computed_and_frozen_weights_are_pruned_at_the_output(kind, norm):
    torch.manual_seed(0)
    layers = [KINDS[kind](nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Flatten()]
    if norm is not None:
        layers.insert(1, norm(4))
        layers[1].running_mean.normal_()
    model = nn.Sequential(*layers).eval()
    before, state = model(IMAGES), copy.deepcopy(model.state_dict())
    pruned = prune_units(model, {"0": [1, 3]}, IMAGES)
    after = model(IMAGES).unflatten(1, (4, -1))
    assert not after[:, [1, 3]].any()
    kept = before.unflatten(1, (4, -1))[:, [0, 2]]
    assert torch.equal(after[:, [0, 2]], kept)
    assert kept.any()
    pruned.undo()
    assert torch.equal(model(IMAGES), before)
    assert list(model.state_dict()) == list(state)
    pruned = prune_units(model, {"0": [1, 3]}, IMAGES)
    pruned.make_permanent()
    assert torch.equal(model(IMAGES).unflatten(1, (4, -1)), after)


def test_a_frozen_norm_after_plain_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), FrozenBatchNorm2d(4), nn.ReLU()).eval()
    model[1].bias.fill_(0.5)
    pruned = prune_units(model, {"0": [2]}, IMAGES)
    assert not model(IMAGES)[:, 2].any()
    assert model(IMAGES)[:, 1].any()
    pruned.undo()
    assert torch.equal(model[1].bias, torch.full((4,), 0.5))


@pytest.mark.parametrize("permanent", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(ScaledStdConv2d(3, 4, 3), nn.ReLU()),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        tied,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.LayerNorm(4)),
    ],
)
def test_an_optimizer_goes_on_after_pruning(make, permanent):
    """The parameters are those of before, in their order."""
    model = seeded(make)
    layer = "1" if isinstance(model[0], nn.Flatten) else "2" if len(model) > 4 else "0"
    parameters = list(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters())
    model(IMAGES).square().sum().backward()
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    pruned = prune_units(model, {layer: [1]}, IMAGES)
    if permanent:
        pruned.make_permanent()
    else:
        pruned.undo()
    after = list(model.named_parameters())
    added = [name for name, _ in after if "unit_scale" in name]
    kept = [(name, of) for name, of in after if name not in added]
    assert [name for name, _ in kept] == [name for name, _ in parameters]
    assert all(
        of is before for (_, of), (_, before) in zip(kept, parameters, strict=True)
    )
    if not added:
        again = torch.optim.Adam(model.parameters())
        again.load_state_dict(saved)
        for parameter in model.parameters():
            average = again.state[parameter]["exp_avg"]
            assert average.shape == parameter.shape
            assert torch.equal(average, optimizer.state[parameter]["exp_avg"])


class Images(Dataset):
    targets = np.arange(16) % 2

    def __len__(self):
        return 16

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        pixels = rng.random((3, 12, 12), dtype=np.float32) + index % 2
        return torch.from_numpy(pixels), index % 2


TASK = ProbeTask(Images(), np.arange(12), np.arange(12, 16), nn.Identity())
WARNS = pytest.mark.filterwarnings("ignore::lightly_memloc.errors.MemorizationWarning")


@WARNS
@pytest.mark.parametrize("make", [*SHARED, with_two_names])
@pytest.mark.parametrize("layer", ["2", "4"])
def test_fine_tuning_trains_shared_weights(make, layer):
    model = seeded(make)
    tuned = fine_tune(model, TASK, [layer], device="cpu", epochs=1).encoder
    trained = {
        name
        for name, value in tuned.state_dict().items()
        if not torch.equal(value, model.state_dict()[name])
    }
    alias = {"again.weight", "again.bias"}
    expected = {f"{layer}.weight", f"{layer}.bias"}
    if make in SHARED:
        expected |= {"2.weight", "4.weight"}
    elif layer == "2":
        expected |= alias
    assert trained == expected


def test_fine_tuning_says_who_else_changes():
    with pytest.warns(UserWarning, match=r"weights of 4 are also those of 2\.weight"):
        fine_tune(seeded(tied), TASK, ["4"], device="cpu", epochs=1)


def test_statistics_of_a_norm_that_shares_its_weights_stay():
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(4), nn.BatchNorm2d(4)]
    norms[1].weight = norms[0].weight
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), norms[0], nn.ReLU(), nn.Conv2d(4, 4, 3), norms[1], nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).eval()  # fmt: skip
    with pytest.warns(UserWarning, match=r"1\.weight"):
        tuned = fine_tune(model, TASK, ["4"], device="cpu", epochs=1).encoder
    assert not torch.equal(tuned[1].weight, model[1].weight)
    assert torch.equal(tuned[1].running_mean, model[1].running_mean)
    assert not torch.equal(tuned[4].running_mean, model[4].running_mean)


@WARNS
@pytest.mark.parametrize("make", SHARED)
def test_exchange_replaces_shared_weights_in_all_layers(make):
    model, donor = seeded(make), seeded(make, 1)
    mixed = exchange_layers(model, donor, ["4"], IMAGES)
    for name, value in mixed.state_dict().items():
        of = model if name in ("0.weight", "0.bias", "2.bias") else donor
        assert torch.equal(value, of.state_dict()[name])


@pytest.mark.parametrize(("first", "second"), [(tied, plain), (plain, tied)])
def test_exchange_needs_the_same_weights_to_be_shared(first, second):
    with pytest.raises(MemorizationError, match=r"2\.weight shares its memory with 4"):
        exchange_layers(seeded(first), seeded(second), ["0"], IMAGES)


@pytest.mark.parametrize("make", SHARED)
def test_a_unit_of_shared_weights_cannot_be_tuned(make):
    with pytest.raises(MemorizationError, match="another module shares them"):
        tune_unit(seeded(make), "2", 1, Images(), nn.Identity(), 0, steps=1)


class WithExtraState(nn.Sequential):
    extra: object = {"steps": 3}

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


def with_extra_state(seed=0):
    torch.manual_seed(seed)
    return WithExtraState(*plain()).eval()


def test_extra_states_that_are_no_tensors(tmp_path, digits, transform, small_split):
    from lightly_memloc.runtime import load_encoder

    model, donor = with_extra_state(), with_extra_state(1)
    mixed = exchange_layers(model, donor, ["4"], IMAGES)
    assert torch.equal(mixed[4].weight, donor[4].weight)
    prune_units(model, {"2": [1]}, IMAGES).undo()
    accuracy = linear_probe(model, TASK, device="cpu", epochs=1).value
    assert 0 <= accuracy <= 1
    donor.extra = {"steps": 5}
    torch.save(donor.state_dict(), tmp_path / "donor.pt")
    loaded = load_encoder(with_extra_state(), tmp_path / "donor.pt")
    assert loaded.extra == {"steps": 5}
    measured = measure_layer_mem(
        model, loaded, digits, small_split, transform, n_views=2, layers="2"
    )
    assert len(measured.to_pandas()) == 1


def test_extra_states_of_different_types_are_a_difference(
    digits, transform, small_split
):
    other = with_extra_state()
    other.extra = "text"
    with pytest.raises(
        MemorizationError, match="_extra_state has type dict in f and str in g"
    ):
        measure_layer_mem(
            with_extra_state(), other, digits, small_split, transform, n_views=2
        )
