import numpy as np
import pytest
import torch

from lightly_memloc import MultiViewDataset


@pytest.fixture
def activations(encoders, digits, transform):
    """Activations (images, units) of two layers on the first 30 digits."""
    encoder = encoders[0].eval()
    views = MultiViewDataset(digits, transform, n_views=3)
    conv, block = [], []
    for index in range(30):
        with torch.no_grad():
            x = encoder.prep(views[index][0])
            conv_views = torch.relu(encoder.layer1.head.bn(encoder.layer1.head.conv(x)))
            block_views = encoder.layer1.residual(encoder.layer1.head(x))
        conv.append(conv_views.double().numpy().mean(axis=(2, 3)).mean(axis=0))
        block.append(block_views.double().numpy().mean(axis=(2, 3)).mean(axis=0))
    return {"layer1.head.conv": np.array(conv), "layer1.residual": np.array(block)}
