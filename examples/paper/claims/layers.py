"""Names of the estimators, and summaries of groups of layers."""

ESTIMATORS = {
    "published": "layer_mem",
    "calibrated": "calibrated",
    "symmetric": "symmetric",
}
UNITS = {"published": "mean", "gap": "gap", "member share": "member_share"}


def late(layers, column):
    """Mean of the last third of the layers."""
    return layers[column].iloc[-(len(layers) // 3) :].mean()


def rise(layers, column):
    """Mean of the last third of the layers minus that of the first third."""
    return late(layers, column) - layers[column].iloc[: len(layers) // 3].mean()
