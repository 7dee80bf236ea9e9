"""A vision transformer small enough to train on two cores."""

from lightly.models.modules import MaskedVisionTransformerTIMM
from timm.models.vision_transformer import VisionTransformer


def small_vit():
    """Make four blocks of 64 channels, for 32x32 images in patches of 8x8."""
    vit = VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=4,
        num_heads=2,
        num_classes=0,
        dynamic_img_size=True,
    )
    return MaskedVisionTransformerTIMM(vit=vit)
