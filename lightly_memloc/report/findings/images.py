"""What was found in images, in plain words."""

import pandas as pd

from lightly_memloc.report.findings.finding import finding
from lightly_memloc.report.findings.level import LEVEL
from lightly_memloc.results import AnalysisResult, CurationResult


@finding.register
def analysis_finding(result: AnalysisResult) -> str:
    """Say whether layers agree, and whether units are tied to images or to classes.

    Args:
        result: The analysis.
    """
    tables, said = result.to_pandas(), []
    if "consistency" in tables:
        said.append(_consistency(tables["consistency"]))
    if "unit_class" in tables:
        whole = tables["unit_class"].iloc[-1]
        said.append(
            f"{whole['above']:.0%} of {int(whole['units'])} units are tied to an image more "
            "than to a class (UnitMem above ClassMem). So are most units of any encoder, "
            "since a class's mean averages over many images: compare encoders."
        )
    return " ".join(said)


@finding.register
def curation_finding(result: CurationResult) -> str:
    """Say what training without the most memorised images did.

    Args:
        result: The list of images, and what was trained without them.
    """
    images = result.to_pandas()
    listed = (
        f"{len(images)} images are listed, with SSLMem from "
        f"{images['ssl_mem'].max():+.3f} down to {images['ssl_mem'].min():+.3f}."
    )
    if not result.is_retrained:
        return listed
    layers = result.layers_to_pandas()
    found = layers[layers["difference_p"] < LEVEL]
    accuracy = result.accuracy_to_pandas().set_index("encoder")["accuracy"]
    compared = (
        f"in {len(found)} of {len(layers)} layers"
        if len(found)
        else f"in none of {len(layers)} layers"
    )
    return (
        f"{listed} Trained without them, the encoder differs from one trained without "
        f"as many random images {compared} (calibrated LayerMem, p < {LEVEL}); their "
        f"accuracies are {accuracy['without memorized']:.1%} and "
        f"{accuracy['without random']:.1%}."
    )


def _consistency(pairs: pd.DataFrame) -> str:
    neighbours = pairs[pairs["distance"] == 1]
    farthest = pairs[pairs["distance"] == pairs["distance"].max()]
    if neighbours["tau"].isna().all():
        return "Layers cannot be compared: SSLMem is the same for all images."
    external = neighbours["external_tau"].mean()
    control = (
        ""
        if pd.isna(external)
        else f"; over external images, which nobody was trained on, neighbours have "
        f"{external:+.2f}: that much is the images' own nature"
    )
    return (
        "Layers next to each other rank images alike with Kendall's tau of "
        f"{neighbours['tau'].mean():+.2f}, those farthest apart "
        f"{farthest['tau'].mean():+.2f}{control}."
    )
