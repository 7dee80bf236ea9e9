import os
import pickle
import re

import pytest
import torch
from torch import nn

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators import load_encoder
from lightly_memloc.runtime import load_weights
from lightly_memloc.training import ResNet9


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = ResNet9(width=4)
        self.head = nn.Linear(32, 8)


def assert_same_weights(one, two):
    weights, expected = one.state_dict(), two.state_dict()
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert torch.equal(value, expected[name])


def test_backbone_of_a_saved_method(tmp_path):
    whole = Whole()
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "f.ckpt")
    loaded = load_encoder(ResNet9(width=4), tmp_path / "f.ckpt")
    assert_same_weights(loaded, whole.backbone)
    assert not loaded.training


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": weights, "optimizer": {}},
        lambda weights: {"model_state_dict": weights},
        lambda weights: {f"module.{name}": weights[name] for name in weights},
        lambda weights: {f"_orig_mod.{name}": weights[name] for name in weights},
        lambda weights: {
            f"module.backbone._orig_mod.{name}": weights[name] for name in weights
        },
        lambda weights: (
            {
                f"teacher_embedding_model.wrapped_model._model.{name}": weights[name]
                for name in weights
            }
            | {"head.weight": torch.zeros(3)}
        ),
    ],
)
def test_state_dicts(tmp_path, wrap):
    encoder = ResNet9(width=4)
    torch.save(wrap(encoder.state_dict()), tmp_path / "weights.pt")
    assert_same_weights(load_encoder(ResNet9(4), tmp_path / "weights.pt"), encoder)


def test_keys_that_do_not_fit_are_listed(tmp_path):
    weights = ResNet9(width=4).state_dict()
    weights["extra"] = weights.pop("prep.conv.weight")
    weights["layer2.conv.weight"] = torch.zeros(1)
    torch.save(weights, tmp_path / "weights.pt")
    encoder = ResNet9(width=4)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(MemorizationError) as error:
        load_encoder(encoder, tmp_path / "weights.pt")
    message = str(error.value)
    assert "Missing: prep.conv.weight." in message
    assert "Unexpected: extra." in message
    assert "layer2.conv.weight (1,) instead of (16, 8, 3, 3)" in message
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_the_encoder_under_another_name(tmp_path):
    whole = nn.ModuleDict({"student_backbone": ResNet9(4), "backbone": ResNet9(4)})
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "weights.pt")
    for name, encoder in whole.items():
        loaded = load_encoder(ResNet9(4), tmp_path / "weights.pt", name)
        assert_same_weights(loaded, encoder)
    other = load_encoder(ResNet9(4), tmp_path / "weights.pt", "teacher")
    assert_same_weights(other, whole["backbone"])


def test_of_several_encoders_one_has_to_be_chosen(tmp_path):
    whole = nn.ModuleDict({"one": ResNet9(4), "two": ResNet9(4)})
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "weights.pt")
    with pytest.raises(MemorizationError, match=r"under one\., two\.: choose one"):
        load_encoder(ResNet9(4), tmp_path / "weights.pt")
    loaded = load_encoder(ResNet9(4), tmp_path / "weights.pt", prefix="two.")
    assert_same_weights(loaded, whole["two"])
    with pytest.raises(
        MemorizationError, match=r"starts with 'three\.'; it contains one\.prep"
    ):
        load_encoder(ResNet9(4), tmp_path / "weights.pt", prefix="three.")


def test_a_part_is_loaded_if_that_is_allowed(tmp_path):
    saved, encoder = ResNet9(width=4), ResNet9(width=4)
    own = encoder.prep.conv.weight.detach().clone()
    weights = saved.state_dict()
    weights["extra"] = weights.pop("prep.conv.weight")
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.warns(MemorizationWarning, match=r"Missing: prep.conv.weight\. Unexp"):
        load_encoder(encoder, tmp_path / "weights.pt", allow_partial=True)
    assert torch.equal(encoder.prep.conv.weight, own)
    assert torch.equal(encoder.layer2.conv.weight, saved.layer2.conv.weight)


def test_most_of_an_encoder_has_to_be_there(tmp_path):
    saved = ResNet9(width=4)
    weights = saved.state_dict()
    lost = list(weights)[: len(weights) // 5]
    for name in lost:
        del weights[name]
    torch.save(weights, tmp_path / "weights.pt")
    share = len(weights) / (len(weights) + len(lost))
    assert 0.79 < share < 0.85
    with pytest.raises(
        MemorizationError, match=f"It has {share:.0%} of the encoder"
    ) as of:
        load_encoder(ResNet9(4), tmp_path / "weights.pt", allow_partial=True)
    enough = float(re.search(r"\(--partial-share\) to ([0-9.]+)\.$", str(of.value))[1])
    with pytest.warns(MemorizationWarning, match="Missing"):
        loaded = load_weights(ResNet9(4), tmp_path / "weights.pt", allow_partial=enough)
    assert loaded.share == pytest.approx(share)
    assert loaded.missing == lost


@pytest.mark.parametrize("share", [1.5, -1.0, float("nan")])
def test_shares_that_are_none(tmp_path, share):
    torch.save(ResNet9(4).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(MemorizationError, match="allow_partial"):
        load_encoder(ResNet9(4), tmp_path / "weights.pt", allow_partial=share)


def test_a_checkpoint_without_a_single_weight_is_no_part(tmp_path):
    torch.save({"extra": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(MemorizationError, match="does not match ResNet9"):
        load_encoder(ResNet9(4), tmp_path / "weights.pt", allow_partial=True)


def test_a_trusted_checkpoint_may_be_a_module(tmp_path):
    encoder = ResNet9(width=4)
    torch.save(encoder, tmp_path / "whole.pt")
    with pytest.raises(MemorizationError, match="--trust-checkpoint"):
        load_encoder(ResNet9(4), tmp_path / "whole.pt")
    loaded = load_encoder(ResNet9(4), tmp_path / "whole.pt", trust_checkpoint=True)
    assert_same_weights(loaded, encoder)


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    target = tmp_path / "ran"
    torch.save({"state_dict": Malicious(str(target))}, tmp_path / "bad.ckpt")
    with pytest.raises(MemorizationError, match="could run code"):
        load_encoder(ResNet9(width=4), tmp_path / "bad.ckpt")
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(Malicious(str(target))))
    with pytest.raises(MemorizationError, match="could run code"):
        load_encoder(ResNet9(width=4), tmp_path / "bad.pkl")
    assert not target.exists()


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MemorizationError, match="no checkpoint"):
        load_encoder(ResNet9(width=4), tmp_path / "none.ckpt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(MemorizationError, match="does not contain a state_dict"):
        load_encoder(ResNet9(width=4), tmp_path / "tensor.pt")
    (tmp_path / "text.ckpt").write_text("weights")
    with pytest.raises(MemorizationError):
        load_encoder(ResNet9(width=4), tmp_path / "text.ckpt")
