"""The demo's study: split, pair, LayerMem, UnitMem, plots."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightly_memloc.data import Digits, MemorizationSplit
from lightly_memloc.evaluators import measure_layer_mem, measure_unit_mem
from lightly_memloc.report import save_with_figures, write_report
from lightly_memloc.results import LayerMemResult, UnitMemResult
from lightly_memloc.training import Run, TrainingConfig

_ROLE_SIZE = 200
_VIEWS = 16


@dataclass(frozen=True)
class DemoStudy:
    """What the demo measured, and its report."""

    layer_mem: LayerMemResult
    unit_mem: UnitMemResult
    page: Path

    @property
    def results(self) -> list[LayerMemResult | UnitMemResult]:
        """The results in the order in which they are told."""
        return [self.layer_mem, self.unit_mem]


def run_demo(folder: Path, epochs: int) -> DemoStudy:
    """Run the demo's study; a pair that the folder holds is not trained again.

    Args:
        folder: The run folder.
        epochs: Epochs of training.
    """
    config = TrainingConfig.for_data(
        "digits",
        backbone="resnet9-slim",
        epochs=epochs,
        learning_rate=2e-3,
        num_workers=2,
    )
    run = Run.train(folder, "digits", _split(), config)
    f, dataset, transform = run.encoder("f"), run.dataset(), run.transform()
    layer_mem = measure_layer_mem(
        f, run.encoder("g"), dataset, run.split, transform, n_views=_VIEWS
    )
    save_with_figures(layer_mem, folder / "layer-mem")
    unit_mem = measure_unit_mem(
        f,
        dataset,
        transform,
        run.split.candidate,
        holdout=run.split.external,
        n_views=_VIEWS,
    )
    save_with_figures(unit_mem, folder / "unit-mem")
    return DemoStudy(layer_mem, unit_mem, write_report(folder))


def _split() -> MemorizationSplit:
    """Four roles of one size; the other digits get none, or training takes longer."""
    digits = Digits()
    unused = np.random.default_rng(0).permutation(len(digits))[4 * _ROLE_SIZE :]
    return MemorizationSplit.of_dataset(
        digits, _ROLE_SIZE, _ROLE_SIZE, _ROLE_SIZE, exclude=unused.tolist()
    )
