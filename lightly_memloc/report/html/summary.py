"""What a page says first: measured, found, to do next, and not to be concluded."""

from collections import Counter
from dataclasses import dataclass

from lightly_memloc.report.findings import finding
from lightly_memloc.report.findings.level import LEVEL
from lightly_memloc.report.html.next_steps import Step, next_steps
from lightly_memloc.report.saved import Saved
from lightly_memloc.results import (
    ClassMemResult,
    LayerMemResult,
    SSLMemRunsResult,
    UnitMemResult,
)


@dataclass(frozen=True)
class Summary:
    """A study in plain words.

    Attributes:
        measured: What was measured.
        found: What is significant, and what is not.
        next_steps: What to do next.
        limits: What cannot be concluded.
    """

    measured: list[str]
    found: list[str]
    next_steps: list[Step]
    limits: list[str]

    @classmethod
    def of(cls, saved: Saved) -> "Summary":
        """Sum up what a folder holds.

        Args:
            saved: What it holds.
        """
        return cls(
            _measured(saved),
            _found(saved),
            next_steps(saved),
            _limits(saved),
        )


def _measured(saved: Saved) -> list[str]:
    said = []
    if saved.run is not None:
        config, split = saved.run.config, saved.run.split
        said.append(
            f"Two encoders ({config.backbone}, {config.method}, {config.epochs} epochs): "
            f"f was trained on {len(split.shared)} shared and {len(split.candidate)} "
            f"candidate images, g on the shared and {len(split.independent)} independent "
            f"ones; {len(split.external)} external images were seen by neither."
        )
    if saved.runs is not None:
        said.append(f"{len(saved.runs.names)} runs on random splits of one data set.")
    for result in saved.results.values():
        if isinstance(result, LayerMemResult):
            layers, against = len(result.to_pandas()), "than the reference encoder does"
            if not result.settings["reference"]:
                against = "than images that it never saw"
            said.append(
                f"LayerMem: how much better the encoder aligns views of its candidates "
                f"{against}, in each of {layers} layers."
            )
        if isinstance(result, UnitMemResult):
            units = result.to_pandas()
            said.append(
                f"UnitMem: how selective each of {len(units):,} units is for the one "
                f"image that activates it most, of {result.settings['images']:,}."
            )
        if isinstance(result, ClassMemResult):
            said.append("ClassMem: how selective each unit is for one class.")
        if isinstance(result, SSLMemRunsResult):
            said.append("SSLMem of each image, averaged over the runs.")
    return said


def _found(saved: Saved) -> list[str]:
    """What the results say, by name where there are several of a kind."""
    kinds = Counter(result.kind for result in saved.results.values())
    said = {name: finding(result) for name, result in saved.results.items()}
    return [
        f"{name}: {words}" if kinds[saved.results[name].kind] > 1 else words
        for name, words in said.items()
        if words
    ]


def _limits(saved: Saved) -> list[str]:
    said = []
    if saved.run is not None:
        said.append(
            "This is one pair of trainings: intervals are over images, and say nothing "
            "of other trainings, seeds or methods."
        )
    if saved.runs is not None:
        said.append(
            f"These are {len(saved.runs.names)} trainings of one method on one data set: "
            "intervals over runs say nothing of other methods or data."
        )
    layer_mem = saved.first(LayerMemResult)
    if layer_mem is not None:
        said.append(_each_layer(len(layer_mem.to_pandas())))
        if layer_mem.to_pandas()["layer_mem"].notna().any():
            said.append(
                "The published LayerMem holds the offset between two encoders that were "
                "trained apart; its p-value tests that, too. Rely on the calibrated and "
                "the symmetric estimate."
            )
    unit_mem = saved.first(UnitMemResult)
    if unit_mem is not None:
        said.append(
            "A high UnitMem alone is no memorisation: units are selective for images "
            "that the encoder never saw, too."
        )
        if unit_mem.has_holdout:
            said.append(
                "Members and holdout must come from one distribution: images that were "
                "collected or compressed in another way are told apart by any encoder."
            )
            if layer_mem is None:
                said.append(_each_layer(len(unit_mem.layers_to_pandas())))
    for result in saved.results.values():
        if not isinstance(result, LayerMemResult) or result.estimate == "alignment_gap":
            said += result.settings.get("notes", [])
        skipped = result.settings.get("skipped", [])
        if skipped:
            said.append(f"{len(skipped)} images could not be read and are left out.")
    return list(dict.fromkeys(said))


def _each_layer(n_layers: int) -> str:
    return (
        f"Each of {n_layers} layers is tested by itself: at p < {LEVEL} about "
        f"{LEVEL * n_layers:.2g} of them would be significant by chance alone. Where "
        "nothing is found, the interval tells how much may have been missed."
    )
