"""What was found in units, in plain words."""

from lightly_memloc.report.findings.finding import finding
from lightly_memloc.report.findings.level import LEVEL, found_above, largest
from lightly_memloc.results import ClassMemResult, UnitMemResult, UnitTuningResult


@finding.register
def unit_mem_finding(result: UnitMemResult) -> str:
    """Say whether units prefer images that the encoder was trained on.

    Args:
        result: The measurement.
    """
    if not result.has_holdout:
        return (
            "UnitMem measures how selective units are, which they are for images that "
            "the encoder never saw, too: without a holdout nothing can be concluded "
            "about memorisation."
        )
    layers = result.layers_to_pandas()
    found = found_above(layers, "member_share", chance=0.5)
    if found.empty:
        surpassed = layers[
            (layers["member_share_p"] < LEVEL) & (layers["member_share"] < 0.5)
        ]
        if len(surpassed):
            return (
                "Images of the holdout win more units than chance gives "
                f"(p < {LEVEL}) in {len(surpassed)} of {len(layers)} layers: members and "
                "holdout may be of different kinds, and then nothing can be concluded."
            )
        highest = layers["member_share_high"].max()
        return (
            f"In no layer do members win more units than chance gives (p < {LEVEL}, "
            f"{len(layers)} layers). That is no proof that nothing is there: the "
            f"intervals of the member share reach up to {highest:.0%}."
        )
    most = largest(found, "member_share")
    return (
        f"Members win more units than chance gives (p < {LEVEL}) in {len(found)} of "
        f"{len(layers)} layers, most of all in {most['layer']}: "
        f"{most['member_share']:.0%} (95% interval {most['member_share_low']:.0%} to "
        f"{most['member_share_high']:.0%}; by chance "
        f"{most['member_share_null_low']:.0%} to {most['member_share_null_high']:.0%})."
    )


@finding.register
def class_mem_finding(result: ClassMemResult) -> str:
    """Say where units are tied to classes.

    Args:
        result: The measurement.
    """
    layers = result.layers_to_pandas().dropna(subset=["mean"])
    if layers.empty:
        return "All units are dead."
    most = largest(layers, "mean")
    return (
        f"Units are most selective for classes in {most['layer']} (mean ClassMem "
        f"{most['mean']:.3f}, {result.settings['classes']} classes)."
    )


@finding.register
def unit_tuning_finding(result: UnitTuningResult) -> str:
    """Say how often tuning a unit to an image made it the unit's own.

    Args:
        result: The measurement.
    """
    units = result.to_pandas()
    rises = int((units["after"] > units["before"]).sum())
    return (
        f"Tuned to an image, UnitMem rises in {rises} of {len(units)} units, and the "
        f"image becomes the most activating one in {int(units['wins'].sum())}."
    )
