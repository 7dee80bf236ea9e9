"""Figures of the tables. Intervals are over pairs."""

import math

from matplotlib.figure import Figure
from over_pairs import over_pairs

from lightly_memloc.data import open_dataset
from lightly_memloc.report.charts import line_with_band
from lightly_memloc.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    layer_ticks,
    legend,
    new_axes,
    set_labels,
)

_ESTIMATORS = [
    ("layer_mem", "published", GREY, "o", "--"),
    ("calibrated", "calibrated", ORANGE, "s", "-"),
    ("symmetric", "symmetric", BLUE, "D", "-"),
]
_SUBJECTS = [
    ("trained", "trained", BLUE, "D", "-"),
    ("untrained", "untrained", GREY, "o", "--"),
    ("shuffled", "shuffled roles", ORANGE, "s", ":"),
    ("external", "external images alone", GREEN, "^", ":"),
]


def _where(table, **of):
    for column, value in of.items():
        table = table[table[column] == value]
    return table


def estimators(layer_mem, training, subject, title):
    """Plot the three estimators of LayerMem along depth."""
    axes = new_axes()
    set_labels(axes, title, "memorisation")
    of = _where(layer_mem, training=training, subject=subject)
    means = over_pairs(of, [name for name, *_ in _ESTIMATORS], ["layer"])
    for series in _ESTIMATORS:
        line_with_band(axes, means, *series)
    _along(axes, means["layer"])
    return axes.figure


def subjects(table, training, column, title, ylabel, chance=0.0):
    """Plot a column along depth, for trained encoders and the means of controls."""
    axes = new_axes()
    set_labels(axes, title, ylabel)
    for subject, label, color, marker, line in _SUBJECTS:
        of = _where(table, training=training, subject=subject)
        means = over_pairs(of, [column], ["layer"])
        if subject != "trained":
            means = means[["layer", column]]
        line_with_band(axes, means, column, label, color, marker, line)
    _along(axes, means["layer"], chance)
    return axes.figure


def trainings(table, column, chosen, title, ylabel, chance=0.0):
    """Plot a column along depth, for several trainings of one architecture."""
    axes = new_axes()
    set_labels(axes, title, ylabel)
    styles = [(BLUE, "D"), (ORANGE, "s"), (GREEN, "^"), (GREY, "o")]
    for (training, label), (color, marker) in zip(chosen.items(), styles, strict=False):
        of = _where(table, training=training, subject="trained")
        means = over_pairs(of, [column], ["layer"])
        line_with_band(axes, means, column, label, color, marker)
    _along(axes, means["layer"], chance)
    return axes.figure


def augmentations(layer_mem, column, augmented, title, ylabel):
    """Plot a column along depth, by augmentation of training / of measuring."""
    axes = new_axes()
    set_labels(axes, title, ylabel)
    styles = [(BLUE, "D"), (ORANGE, "s")]
    for (training, trained), (color, marker) in zip(
        augmented.items(), styles, strict=True
    ):
        for (by, measured), line in zip(augmented.items(), ("-", "--"), strict=True):
            subject = "trained" if by == training else f"under/{by}"
            of = _where(layer_mem, training=training, subject=subject)
            means = over_pairs(of, [column], ["layer"])
            label = f"{trained} / {measured}"
            line_with_band(axes, means, column, label, color, marker, line)
    _along(axes, means["layer"])
    return axes.figure


def ties(table, chosen, title, ylabel):
    """Plot the share of units tied to an image along depth, seen and unseen."""
    axes = new_axes()
    set_labels(axes, title, ylabel)
    styles = [(BLUE, "D"), (ORANGE, "s")]
    for (training, label), (color, marker) in zip(chosen.items(), styles, strict=True):
        for seen, images, line in (
            (True, "training images", "-"),
            (False, "unseen images", "--"),
        ):
            of = _where(table, training=training, seen=seen)
            means = over_pairs(of, ["tied"], ["layer"])
            series = f"{label}, {images}", color, marker, line
            line_with_band(axes, means, "tied", *series)
    _along(axes, means["layer"], 0.5)
    return axes.figure


def sublayers(layer_mem, training, title):
    """Plot what attention and the MLP of each block add, without the offset."""
    of = _where(layer_mem, training=training, subject="trained")
    step = of.groupby("pair")["symmetric"].diff()
    steps = over_pairs(of.assign(step=step), ["step"], ["layer", "kind"])
    axes = new_axes()
    set_labels(axes, title, "step of symmetric LayerMem")
    for kind, label, color, marker in (
        ("attention", "attention", ORANGE, "s"),
        ("mlp", "MLP", BLUE, "D"),
    ):
        of_kind = steps[steps["kind"] == kind].reset_index(drop=True)
        line_with_band(axes, of_kind, "step", label, color, marker)
    _along(axes, of_kind["layer"].str.removesuffix(".mlp"))
    return axes.figure


def epochs(unit_mem_epochs):
    """Plot mean UnitMem over the epochs of training."""
    means = over_pairs(unit_mem_epochs, ["unit_mem"], ["epoch"])
    axes = new_axes()
    set_labels(axes, "UnitMem in training, mean of all layers", "UnitMem")
    axes.plot(means["epoch"], means["unit_mem"], color=BLUE)
    band = means["epoch"], means["unit_mem_low"], means["unit_mem_high"]
    axes.fill_between(*band, color=BLUE, alpha=0.18, linewidth=0)
    axes.set_xlabel("epoch")
    return axes.figure


def gallery(images, folder):
    """Show the most and the least memorised images."""
    dataset = open_dataset(folder)
    per_row = 8
    sets = {
        name: of["index"].tolist() for name, of in images.groupby("set", sort=False)
    }
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    for part, (name, indices) in zip(
        figure.subfigures(len(sets)), sets.items(), strict=True
    ):
        part.suptitle(f"the {name} memorised", fontsize=11)
        grid = part.subplots(math.ceil(len(indices) / per_row), per_row, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for axes, index in zip(grid.flat, indices, strict=False):
            axes.imshow(dataset[index][0])
    return figure


def _along(axes, layers, chance=0.0):
    """Label the layers and draw the line of no effect."""
    axes.axhline(chance, color="black", linewidth=0.8)
    layer_ticks(axes, layers.tolist())
    legend(axes)
