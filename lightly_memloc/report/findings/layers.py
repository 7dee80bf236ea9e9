"""What was found in layers, in plain words."""

import pandas as pd

from lightly_memloc.report.findings.finding import finding
from lightly_memloc.report.findings.level import LEVEL, found_above, largest
from lightly_memloc.results import (
    LayerMemResult,
    MembershipResult,
    SSLMemRunsResult,
)

_LABELS = {
    "symmetric": "symmetric LayerMem",
    "calibrated": "calibrated LayerMem",
    "alignment_gap": "the alignment gap",
}


@finding.register
def layer_mem_finding(result: LayerMemResult) -> str:
    """Say in two sentences what a LayerMem measurement found.

    The first says where memorisation was found by the best estimate at hand (symmetric,
    else calibrated, else the alignment gap), the second how far the published number
    and images that no encoder was trained on agree with it.

    Args:
        result: The measurement.
    """
    if result.estimate is None:
        return (
            "Without external or independent images, nothing can be concluded: the "
            "published LayerMem holds the offset between two encoders, too."
        )
    return f"{_where(result, result.estimate)} {_check(result, result.estimate)}"


@finding.register
def ssl_mem_runs_finding(result: SSLMemRunsResult) -> str:
    """Say what a measurement over several runs found, in the last layer.

    Args:
        result: The measurement.
    """
    last = result.to_pandas().iloc[-1]
    mean = f"SSLMem of the last layer is {last['ssl_mem']:+.3f} in the mean of"
    if pd.isna(last["ssl_mem_p"]):
        return (
            f"{mean} two runs. Two runs give no interval: nothing can be concluded about "
            "other trainings. Train at least a third (--runs 3)."
        )
    verdict = (
        "other trainings of this kind memorise, too"
        if last["ssl_mem_low"] > 0
        else "memorisation is not shown for other trainings of this kind"
    )
    return (
        f"{mean} {last['runs']} runs (95% interval over runs {last['ssl_mem_low']:+.3f} "
        f"to {last['ssl_mem_high']:+.3f}): {verdict}. With shuffled roles it is "
        f"{last['shuffled']:+.3f} ({last['shuffled_low']:+.3f} to "
        f"{last['shuffled_high']:+.3f})."
    )


@finding.register
def membership_finding(result: MembershipResult) -> str:
    """Say which layer gives members away, and to whom who sees the encoder alone.

    Args:
        result: The measurement.
    """
    layers = result.to_pandas()
    said = []
    for score, label in (
        ("alignment", "the alignment of the encoder alone"),
        ("ssl_mem", "SSLMem, which needs the reference encoder,"),
    ):
        of = layers[layers["score"] == score]
        if of.empty:
            continue
        found = found_above(of, "auc", chance=0.5)
        if found.empty:
            said.append(f"By {label} no layer tells members from others (p < {LEVEL}).")
            continue
        best = largest(found, "auc")
        said.append(
            f"By {label} {best['layer']} tells members from others best: AUC "
            f"{best['auc']:.2f} (95% interval {best['auc_low']:.2f} to "
            f"{best['auc_high']:.2f}; 0.50 by chance); at 1% false positives it finds "
            f"{best['tpr']:.1%} of the members ({best['tpr_low']:.1%} to "
            f"{best['tpr_high']:.1%})."
        )
    return " ".join(said)


def _where(result: LayerMemResult, name: str) -> str:
    layers, label = result.to_pandas(), _LABELS[name]
    found = found_above(layers, name)
    if found.empty:
        return (
            f"No layer shows memorisation: {label} is nowhere above zero with "
            f"p < {LEVEL} ({len(layers)} layers)."
        )
    top = largest(found, name)
    first = found.iloc[0]["layer"]
    start = f", the first of them {first}" if len(found) > 1 else ""
    return (
        f"The encoder memorised its candidates: {label} is above zero with "
        f"p < {LEVEL} in {len(found)} of {len(layers)} layers{start}, and is largest in "
        f"{top['layer']} ({top[name]:+.3f}, 95% interval {top[f'{name}_low']:+.3f} to "
        f"{top[f'{name}_high']:+.3f})."
    )


def _check(result: LayerMemResult, name: str) -> str:
    control = "alignment_gap" if name == "alignment_gap" else "symmetric"
    p = result.control_to_pandas()[f"{control}_p"].iloc[-1]
    if pd.isna(p):
        return (
            "There are no external images, or too few, to check the offset between "
            "encoders on."
        )
    verdict = "nothing" if p >= LEVEL else "a difference"
    halves = (
        f"between two halves of the external images the same measure finds {verdict} "
        f"(p = {p:.2f})"
    )
    if name == "alignment_gap":
        return (
            "This holds only if members and external images are a random split of one "
            f"set; {halves}."
        )
    last = result.to_pandas().iloc[-1]
    return (
        f"The published LayerMem of the last layer, {last['layer_mem']:+.3f}, holds an "
        f"offset of {last['external']:+.3f} that images outside both trainings show, "
        f"too; {halves}."
    )
