import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer, resnet18
from torchvision.ops import FrozenBatchNorm2d

from lightly_memloc.runtime import estimate_running_statistics, untrained_copy


def trained(encoder):
    """An encoder far from its initial weights."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) + 3)
        for buffer in encoder.buffers():
            if buffer.is_floating_point():
                buffer.add_(1)
    return encoder


def fresh(seed=0):
    torch.manual_seed(seed)
    return resnet18()


def test_the_weights_are_distributed_as_those_of_a_new_encoder():
    expected = dict(fresh().named_parameters())
    for name, parameter in untrained_copy(trained(fresh()), 0).named_parameters():
        # Convolutions initialise themselves uniformly; torchvision's, normally.
        if "conv" not in name and "downsample.0" not in name:
            deviation = expected[name].std(correction=0)
            assert abs(parameter.mean() - expected[name].mean()) < 0.01
            assert abs(parameter.std(correction=0) - deviation) < 0.01
        else:
            assert abs(parameter.mean()) < 0.01
            assert 0 < parameter.std() < 0.3


def test_the_encoder_itself_and_the_generators_are_unchanged():
    encoder = trained(fresh())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    untrained_copy(encoder, 0)
    assert torch.equal(torch.rand(3), expected)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_seed_alone_decides():
    one, other = trained(fresh(0)), trained(fresh(7))
    same = [untrained_copy(encoder, 4, 2).state_dict() for encoder in (one, other)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])
    others = untrained_copy(one, 4, 3).state_dict()
    assert not torch.equal(same[0]["conv1.weight"], others["conv1.weight"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=4),
        lambda: timm.create_model("test_vit", num_classes=0, img_size=32),
        lambda: timm.create_model("test_convnext", num_classes=0),
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Flatten()
        ),
        lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True),
    ],
    ids=["torchvision ViT", "timm ViT", "timm ConvNeXt", "weight norm", "attention"],
)
def test_no_parameter_keeps_what_was_learned(make):
    encoder = trained(make())
    copied = untrained_copy(encoder, 0)
    for (name, one), other in zip(
        encoder.named_parameters(), copied.parameters(), strict=True
    ):
        learned = one.flatten() - one.mean()
        kept = other.flatten() - other.mean()
        if len(learned) >= 100 and kept.norm():
            cosine = (learned @ kept) / (learned.norm() * kept.norm())
            assert abs(cosine) < 5 / np.sqrt(len(learned)), name
        assert torch.isfinite(other).all()


def test_timm_initialises_a_class_token_as_it_does():
    encoder = trained(timm.create_model("test_vit", num_classes=0, img_size=32))
    token = untrained_copy(encoder, 0).cls_token
    # timm draws class tokens with a standard deviation of 1e-6.
    assert token.std() < 1e-5


def test_frozen_batch_norm_is_the_identity():
    norm = trained(FrozenBatchNorm2d(3))
    copied = untrained_copy(nn.Sequential(norm), 0)
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(copied(images), images, rtol=1e-4, atol=1e-4)


def test_running_statistics_are_those_of_the_views():
    norm = nn.BatchNorm2d(3)
    encoder = nn.Sequential(norm).eval()
    views = 2 + 3 * torch.randn(40, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    estimate_running_statistics(encoder, views.split(10))
    torch.testing.assert_close(norm.running_mean, views.mean(dim=(0, 2, 3)))
    by_batch = [of.var(dim=(0, 2, 3)) for of in views.split(10)]
    torch.testing.assert_close(norm.running_var, torch.stack(by_batch).mean(dim=0))
    assert (norm.momentum, norm.training) == (0.1, False)


def test_encoders_without_running_statistics_do_not_run():
    class Refusing(nn.Module):
        def forward(self, views):
            raise AssertionError

    estimate_running_statistics(Refusing(), [torch.zeros(1)])
