"""Ways to stream the same images to a metric, and what its state and counts give."""

import torch

from lightly_memloc.estimation import holdout_estimates

BATCH_SIZES = [1, 7, 64, 100]
ORDERS = ["ascending", "descending", "shuffled"]


def positions(n_images, order):
    """The images in the order in which they are streamed."""
    if order == "shuffled":
        return torch.randperm(n_images, generator=torch.Generator().manual_seed(1))
    ascending = torch.arange(n_images)
    return ascending if order == "ascending" else ascending.flip(0)


def stream(metric, *rows, batch_size=7, order="ascending"):
    """Update the metric with rows, batch by batch, and return it."""
    for batch in positions(len(rows[0]), order).split(batch_size):
        metric.update(*(row[batch] for row in rows))
    return metric


def state_sizes(metric):
    """Elements in state: of the images' indices, and of all else that can grow."""
    sizes = {"index": 0, "other": 0}
    for name in metric._defaults.keys() - {"highest_index", "settings"}:
        state = getattr(metric, name)
        for tensor in state if isinstance(state, list) else [state]:
            is_index = isinstance(state, list) and tensor.dtype == torch.int64
            sizes["index" if is_index else "other"] += tensor.numel()
    return sizes


def estimates_of(metric, seed=0):
    """Member share and gap of each layer, from the counts of a MemberShare."""
    counts = {name: count.numpy() for name, count in metric.compute().items()}
    return holdout_estimates(counts, metric.layer_sizes, seed)
