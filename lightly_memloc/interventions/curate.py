"""Curating: which images to leave out of the next training."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lightly_memloc.data import filename_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions.select import number_of
from lightly_memloc.results import CurationResult, LayerMemResult, SSLMemRunsResult


def curate(
    measured: LayerMemResult | SSLMemRunsResult, amount: float = 50
) -> CurationResult:
    """List the most memorised images, by SSLMem in the last layer [0].

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        measured: LayerMem of a pair, which scores its candidates; or SSLMem over
            several runs, which scores all images that were in either role.
        amount: How many: a fraction of the scored images below 1, or else a number.

    Raises:
        MemorizationError: If images are not scored, since there was no reference
            encoder, or the amount does not fit.
    """
    ranked = measured.top_samples(len(measured.samples_to_pandas()))
    if isinstance(measured, SSLMemRunsResult):
        role = "candidate or independent"
        ranked = ranked.rename(columns={"ssl_mem_p": "p"})
    else:
        role = "candidate"
        if ranked["ssl_mem"].isna().any():
            raise MemorizationError(
                "Images are ranked by SSLMem, which needs a reference encoder that was "
                "trained without the candidates."
            )
        ranked["p"] = _external_p(measured, ranked["ssl_mem"].to_numpy())
    number = max(1, number_of(amount, len(ranked), "scored images"))
    top = ranked.head(number)
    top.insert(2, "role", role)
    settings = {"scored": len(ranked), "number": number, "skipped": []}
    return CurationResult(settings, {"samples": top})


def write_filename_lists(
    curation: CurationResult, dataset: Any, folder: str | PathLike[str]
) -> None:
    """Write the names of the images to leave out, and of those to keep, a line each.

    ``kept.txt`` is what lightly's ``LightlyDataset(input_dir, filenames=...)`` takes.

    Args:
        curation: The images to leave out.
        dataset: The data set that they come from.
        folder: Where ``memorized.txt`` and ``kept.txt`` are written.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    images = curation.to_pandas()
    left_out = set(images["index"])
    kept = [
        filename_of(dataset, index)
        for index in range(len(dataset))
        if index not in left_out
    ]
    for name, filenames in (("memorized", images["filename"]), ("kept", kept)):
        lines = "".join(f"{filename}\n" for filename in filenames)
        (path / f"{name}.txt").write_text(lines, encoding="utf-8")


def _external_p(measured: LayerMemResult, scores: Any) -> Any:
    """Share of the external images that score as high, the image itself counted in."""
    samples = measured.samples_to_pandas()
    last = measured.to_pandas()["layer"].iloc[-1]
    external = np.sort(samples[samples["role"] == "external"][last].to_numpy())
    if not len(external):
        return np.nan
    as_high = len(external) - np.searchsorted(external, scores, "left")
    return (1 + as_high) / (1 + len(external))
