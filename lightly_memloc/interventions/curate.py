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
    """List the most memorised images, by SSLMem in the last layer measured [0].

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        measured: LayerMem of a pair, which scores its candidates; or SSLMem over
            several runs, which scores images that were in either role in enough runs.
        amount: How many: a fraction of the scored images below 1, or else a number; at
            least one.

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
    settings = {
        "layer": str(measured.to_pandas()["layer"].iloc[-1]),
        "scored": len(ranked),
        "number": number,
        "skipped": [],
    }
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

    Raises:
        MemorizationError: If a name has a line break.
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
        broken = [filename for filename in filenames if "\n" in filename]
        if broken:
            raise MemorizationError(
                f"The file name {broken[0]!r} has a line break, and lists have a name a "
                "line: rename the file."
            )
        lines = "".join(f"{filename}\n" for filename in filenames)
        (path / f"{name}.txt").write_text(lines, "utf-8", "surrogateescape")


def _external_p(measured: LayerMemResult, scores: Any) -> Any:
    """Share of the external images that score as high, the image itself counted in."""
    samples = measured.samples_to_pandas()
    last = measured.to_pandas()["layer"].iloc[-1]
    external = np.sort(samples[samples["role"] == "external"][last].to_numpy())
    if not len(external):
        return np.nan
    as_high = len(external) - np.searchsorted(external, scores, "left")
    return (1 + as_high) / (1 + len(external))
