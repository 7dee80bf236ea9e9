"""MAE, from lightly's parts."""

from collections.abc import Callable
from typing import Any

import torch
from lightly.models import modules, utils
from lightly.transforms import MAETransform
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training.methods.method import Method


class MAE(Method):
    """MAE [0]: mask three quarters of an image's patches and reconstruct them.

    The decoder has one block, which suits small images. The loss is the mean squared
    error of the pixels of masked patches. AdamW's betas and weight decay are the
    paper's.

    - [0]: MAE, 2021, https://arxiv.org/abs/2111.06377

    Raises:
        MemorizationError: If the backbone is not a vision transformer from timm.
    """

    name = "mae"

    def make_heads(self) -> None:
        """Make heads and loss."""
        # lightly lacks the class if timm is not installed; no backbone is one then.
        masked = getattr(modules, "MaskedVisionTransformerTIMM", ())
        if not isinstance(self.backbone, masked):
            raise MemorizationError(
                "MAE masks tokens: it needs a vision transformer as backbone, such as "
                f"vit_tiny_patch4; got {type(self.backbone).__name__}."
            )
        vit = self.backbone.vit
        self.patch_size = vit.patch_embed.patch_size[0]
        self.sequence_length = self.backbone.sequence_length
        width = vit.embed_dim
        self.decoder_embed = nn.Linear(width, width)
        self.decoder = modules.MaskedVisionTransformerDecoderTIMM(
            num_patches=vit.patch_embed.num_patches,
            embed_dim=width,
            depth=1,
            num_heads=vit.blocks[0].attn.num_heads,
            num_prefix_tokens=vit.num_prefix_tokens,
        )
        self.prediction_head = nn.Linear(width, self.patch_size**2 * 3)
        self.criterion = nn.MSELoss()

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's MAETransform; it takes size, scale and normalization only."""
        known = {"input_size", "min_scale", "normalize"} & settings.keys()
        transform: Callable[[Any], Any] = MAETransform(
            **{name: settings[name] for name in known}
        )
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the reconstruction error of the masked patches."""
        images = batch[0][0]
        kept, masked = utils.random_token_mask(
            size=(len(images), self.sequence_length),
            mask_ratio=0.75,
            device=images.device,
        )
        encode: Any = self.backbone.encode
        encoded = self.decoder_embed(encode(images=images, idx_keep=kept))
        tokens = encoded.new_zeros(len(images), self.sequence_length, encoded.shape[-1])
        tokens = utils.set_at_index(tokens, kept, encoded)
        decoded = self.decoder(tokens, idx_mask=masked)
        predicted = self.prediction_head(utils.get_at_index(decoded, masked))
        patches = utils.patchify(images, self.patch_size)
        # Patches are counted without the class token.
        target = utils.get_at_index(patches, masked - 1)
        loss: Tensor = self.criterion(predicted, target)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with the paper's betas and weight decay, and a cosine schedule."""
        optimizer = torch.optim.AdamW(
            self.parameters(), self.learning_rate, betas=(0.9, 0.95), weight_decay=0.05
        )
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
