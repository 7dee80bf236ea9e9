import numpy as np
import private_mae
import pytest
import torch
from private_mae import PrivateMAE, privacy_spent
from torch.utils.data import DataLoader
from vits import small_vit

from lightly_memloc.training.methods import method_class
from lightly_memloc.training.methods.mae import MAE

IMAGES = 4


class _Trainer:
    class datamodule:
        @staticmethod
        def train_dataloader():
            return DataLoader(range(IMAGES), IMAGES)


@pytest.fixture
def method(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(PrivateMAE, "trainer", _Trainer)
    return PrivateMAE(small_vit(), 64, 3, 1e-3)


def gradients(method):
    return [p for p in method.parameters() if p.requires_grad]


def step(method, images):
    torch.manual_seed(1)
    method.training_step(([images], None, None), 0).backward()


def test_it_is_a_method_of_its_own():
    assert method_class("private_mae") is PrivateMAE
    assert method_class("mae") is MAE


def test_gradients_of_images_add_up_to_that_of_the_batch(method):
    method.configure_optimizers()
    step(method, torch.randn(IMAGES, 3, 32, 32))
    for parameter in gradients(method):
        assert len(parameter.grad_sample) == IMAGES
        torch.testing.assert_close(parameter.grad_sample.mean(0), parameter.grad)


def test_no_image_moves_the_gradient_by_more_than_the_norm(method, monkeypatch):
    monkeypatch.setattr(private_mae, "NOISE_MULTIPLIER", 0.0)
    monkeypatch.setattr(private_mae, "MAX_GRAD_NORM", 0.01)
    optimizer = method.configure_optimizers()["optimizer"]
    images = torch.randn(IMAGES, 3, 32, 32)
    images[0] *= 1000
    step(method, images)
    each = torch.stack(
        [
            torch.cat([p.grad_sample[i].flatten() for p in gradients(method)])
            for i in range(IMAGES)
        ]
    )
    norms = each.norm(dim=1)
    assert norms[0] > 100 * norms[1] > 0.01
    optimizer.pre_step()
    clipped = (each * (0.01 / (norms + 1e-6)).clamp(max=1)[:, None]).sum(0) / IMAGES
    found = torch.cat([p.grad.flatten() for p in gradients(method)])
    torch.testing.assert_close(found, clipped, rtol=1e-3, atol=1e-9)


def test_the_noise_is_that_of_the_multiplier(method):
    optimizer = method.configure_optimizers()["optimizer"]
    step(method, torch.zeros(IMAGES, 3, 32, 32))
    optimizer.pre_step()
    found = torch.cat([p.grad.flatten() for p in gradients(method)])
    deviation = private_mae.NOISE_MULTIPLIER * private_mae.MAX_GRAD_NORM / IMAGES
    assert abs(found.std() / deviation - 1) < 0.02


def test_more_steps_and_larger_batches_spend_more_privacy():
    spent = [
        privacy_spent(*of)["epsilon"] for of in ((0.1, 90), (0.1, 900), (0.3, 900))
    ]
    assert spent == sorted(set(spent))
    # A single Gaussian mechanism over all images: epsilon by its tight conversion.
    exact = np.inf
    for alpha in np.arange(1.01, 200, 0.01):
        renyi = alpha / (2 * private_mae.NOISE_MULTIPLIER**2)
        rest = np.log((alpha - 1) / alpha) - (
            np.log(private_mae.DELTA) + np.log(alpha)
        ) / (alpha - 1)
        exact = min(exact, renyi + rest)
    assert privacy_spent(1.0, 1)["epsilon"] == pytest.approx(exact, abs=0.02)
