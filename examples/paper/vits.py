"""A vision transformer that two cores can train."""

from lightly.models.modules import MaskedVisionTransformerTIMM
from timm.models.vision_transformer import VisionTransformer


def small_vit():
    """Four blocks of 64 channels, for images of 32x32 pixels in patches of 8x8."""
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
