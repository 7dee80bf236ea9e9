"""MAE with differential privacy: DP-SGD by Opacus."""

import torch
from opacus.accountants import RDPAccountant
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from lightly_memloc.training.methods.mae import MAE

NOISE_MULTIPLIER, MAX_GRAD_NORM = 5.06, 1.0
DELTA = 1e-3


def privacy_spent(sample_rate, steps):
    """Epsilon and delta of a training, by Renyi differential privacy.

    Args:
        sample_rate: Chance of an image to be in a batch.
        steps: Number of batches.
    """
    accountant = RDPAccountant()
    accountant.history = [(NOISE_MULTIPLIER, sample_rate, steps)]
    return {"epsilon": round(accountant.get_epsilon(DELTA), 2), "delta": DELTA}


class PrivateMAE(MAE):
    """MAE whose gradients are clipped image by image and made noisy.

    MAE's loss is a mean over images that share nothing, as DP-SGD needs; that of a
    contrastive method is not. Class token, mask token and position embeddings stay as
    they were drawn: they are parameters of no layer of their own.
    """

    name = "private_mae"

    def make_heads(self):
        super().make_heads()
        for module in self.modules():
            if any(module.children()):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)

    def configure_optimizers(self):
        configured = super().configure_optimizers()
        loader = self.trainer.datamodule.train_dataloader()
        layers = nn.ModuleList(self.children())
        GradSampleModule(layers, strict=False, loss_reduction="mean")
        private = DPOptimizer(
            configured["optimizer"],
            noise_multiplier=NOISE_MULTIPLIER,
            max_grad_norm=MAX_GRAD_NORM,
            expected_batch_size=loader.batch_size,
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(private, self.epochs)
        return {"optimizer": private, "lr_scheduler": schedule}
