"""What of a run changed since a result was measured: its weights, images or roles."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from lightly_memloc.data import (
    Study,
    changed_images,
    groups_of,
    open_dataset,
    sampled_digests,
)
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import Result
from lightly_memloc.runtime import weights_fingerprint
from lightly_memloc.training.run import Run
from lightly_memloc.training.runs import Runs


def fingerprints_of(
    f: nn.Module, g: nn.Module | None, study: Study, num_workers: int = 0
) -> dict[str, Any]:
    """Return the fingerprints that the settings of a result contain.

    Args:
        f: The encoder.
        g: The reference encoder, if there is one.
        study: The images and their roles.
        num_workers: Worker processes that load images.

    Returns:
        SHA-256 of the ``weights`` of each encoder, digests of up to 256 ``images`` by
        index, and SHA-256 of the ``split``.
    """
    encoders = {"f": f} if g is None else {"f": f, "g": g}
    return {
        "weights": {name: weights_fingerprint(of) for name, of in encoders.items()},
        "images": sampled_digests(
            study.dataset,
            np.array(sorted(study.role_of())),
            seed=study.seed,
            num_workers=num_workers,
        ),
        "split": study.split and study.roles.digest(),
    }


def changes_since(result: Result, study: Run | Runs) -> list[str]:
    """Say what changed since a result was measured.

    What cannot be compared counts as unchanged: an older result has no fingerprints,
    the checkpoints of a run or its images may have been moved away.

    Args:
        result: A result.
        study: The run or the folder of runs that it is of.

    Returns:
        What changed, in words, such as "the weights of f"; empty if nothing did.
    """
    known = result.settings.get("fingerprints", {})
    if isinstance(study, Run):
        has_own_split = "split" in result.settings.get("source", {})
        return list(_changes(known, study, has_own_split))
    return [
        f"{change} in {name}"
        for name, of_run in known.get("runs", {}).items()
        if Run.is_run(study.folder / name)
        for change in _changes(of_run, Run(study.folder / name, study.data), False)
    ]


def refuse_changed(result: Result, study: Run | Runs, command: str) -> None:
    """Refuse a result that was measured before something changed.

    Args:
        result: A result.
        study: The run or the folder of runs that it is of.
        command: The command that measures again.

    Raises:
        MemorizationError: If anything changed. The message says what.
    """
    changed = changes_since(result, study)
    if changed:
        raise MemorizationError(
            f"The {result.kind} result of {study.folder} is of an earlier state: "
            f"{changed_in_words(changed)}. Measure again: lightly-memloc {command}"
        )


def changed_in_words(changes: list[str]) -> str:
    """Join what changed to a clause.

    Args:
        changes: What :func:`changes_since` returned.
    """
    return f"{', '.join(changes)} changed since it was measured"


def _changes(known: Mapping[str, Any], run: Run, has_own_split: bool) -> Iterator[str]:
    for name, fingerprint in known.get("weights", {}).items():
        if _is_other(run, name, fingerprint):
            yield f"the weights of {name}"
    try:
        dataset = open_dataset(run.data)
    except (MemorizationError, OSError):
        # Moved away: whatever needs the images says so.
        return
    before = {int(index): of for index, of in known.get("images", {}).items()}
    if changed_images(dataset, before):
        yield "the images"
    split = known.get("split")
    if split is not None and not has_own_split and split != _roles(run, dataset):
        yield "the split"


def _roles(run: Run, dataset: Any) -> str:
    """Digest of a run's roles, with the groups that the data set lists."""
    split, groups = run.split, run.split.groups
    if groups is None and len(dataset) == split.n:
        groups = groups_of(dataset)
    return replace(split, groups=groups).digest()


def _is_other(run: Run, name: str, fingerprint: str) -> bool:
    """Whether an encoder has other weights, or is being trained again."""
    if (run.folder / f"{name}.state.ckpt").is_file():
        return True
    if not (run.folder / f"{name}.ckpt").is_file():
        return False
    return weights_fingerprint(run.encoder(name)) != fingerprint
