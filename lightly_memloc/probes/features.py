"""Frozen features of images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import leave_no_trace, resolve_device


def features(
    encoder: nn.Module, task: ProbeTask, indices: NDArray[np.int64], device: str
) -> NDArray[np.float32]:
    """Return an encoder's features of images, positions flattened, shape ``(N, D)``.

    Args:
        encoder: The encoder; ends as it began.
        task: Where the images come from.
        indices: The images.
        device: ``"auto"`` or a torch device.
    """
    on = resolve_device(device, encoder)
    with leave_no_trace([encoder], on), torch.inference_mode():
        batches = [
            encoder(images.to(on)).flatten(start_dim=1).float().cpu()
            for images, _ in task.loader(indices)
        ]
    return torch.cat(batches).numpy()
