"""The figures of the page."""

import plots


def draw(tables, images):
    """Draw all figures.

    Args:
        tables: The tables by name.
        images: The folder of images.

    Returns:
        The figures by name.
    """
    layer_mem, unit_mem = tables["layer_mem"], tables["unit_mem"]
    share = "share of units that members win"
    return {
        "depth": plots.estimators(
            layer_mem, "simclr", "trained", "LayerMem along depth, SimCLR"
        ),
        "depth_untrained": plots.estimators(
            layer_mem, "simclr", "untrained", "LayerMem of encoders never trained"
        ),
        "units": plots.subjects(
            unit_mem, "simclr", "member_share", "Do members win the units?", share, 0.5
        ),
        "unit_mem": plots.subjects(unit_mem, "simclr", "mean", "UnitMem", "UnitMem"),
        "labels": plots.trainings(
            unit_mem,
            "above",
            {"simclr": "SimCLR", "supervised": "supervised"},
            "UnitMem above ClassMem",
            "share of units",
            0.5,
        ),
        "ties": plots.ties(
            tables["ties"],
            {"simclr": "SimCLR", "supervised": "supervised"},
            "Tied to an image more than to a class, equal counts",
            "share of units",
        ),
        "images": plots.gallery(tables["images"], images),
        "sublayers_simclr": plots.sublayers(
            layer_mem, "simclr_vit", "What attention and MLP add, SimCLR"
        ),
        "sublayers_mae": plots.sublayers(
            layer_mem, "mae", "What attention and MLP add, MAE"
        ),
        "methods": plots.trainings(
            layer_mem,
            "symmetric",
            {"simclr": "SimCLR", "byol": "BYOL", "supervised": "supervised"},
            "LayerMem along depth, ResNet",
            "symmetric LayerMem",
        ),
        "methods_vit": plots.trainings(
            layer_mem,
            "symmetric",
            {"simclr_vit": "SimCLR", "mae": "MAE", "private_mae": "MAE with privacy"},
            "LayerMem along depth, vision transformer",
            "symmetric LayerMem",
        ),
        "epochs": plots.epochs(tables["unit_mem_epochs"]),
        "augmentation": plots.augmentations(
            layer_mem,
            "symmetric",
            {"simclr": "weaker", "simclr_strong": "stronger"},
            "LayerMem by augmentation of training / of measuring",
            "symmetric LayerMem",
        ),
    }
