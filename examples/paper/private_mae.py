"""MAE with differential privacy: DP-SGD from Opacus."""

import torch
from opacus.accountants import RDPAccountant
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from lightly_memloc.training.methods.mae import MAE

NOISE_MULTIPLIER, MAX_GRAD_NORM = 5.06, 1.0
DELTA = 1e-3


def privacy_spent(sample_rate, steps):
    """Compute epsilon and delta of a training by Renyi differential privacy.

    Args:
        sample_rate: Probability that an image is in a batch.
        steps: Number of batches.
    """
    accountant = RDPAccountant()
    accountant.history = [(NOISE_MULTIPLIER, sample_rate, steps)]
    return {"epsilon": round(accountant.get_epsilon(DELTA), 2), "delta": DELTA}


class PrivateMAE(MAE):
    """MAE with gradients that are clipped for each image, plus noise.

    DP-SGD needs a loss that is a mean over independent images. MAE's loss is, but a
    contrastive loss is not. The class token, the mask token and the position
    embeddings keep their initial values, because they do not belong to a layer.
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
