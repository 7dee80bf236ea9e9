"""The demo's study: split, pair, LayerMem, UnitMem, plots."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightly_memloc.data import Digits, MemorizationSplit
from lightly_memloc.evaluators import measure_layer_mem, measure_unit_mem
from lightly_memloc.report import save_with_figures
from lightly_memloc.results import LayerMemResult, UnitMemResult
from lightly_memloc.training import Run, TrainingConfig

_ROLE_SIZE = 200
_VIEWS = 16


@dataclass(frozen=True)
class DemoStudy:
    """What the demo measured."""

    layer_mem: LayerMemResult
    unit_mem: UnitMemResult

    @property
    def results(self) -> list[LayerMemResult | UnitMemResult]:
        """The results in the order in which they are told."""
        return [self.layer_mem, self.unit_mem]


def run_demo(folder: Path, epochs: int) -> DemoStudy:
    """Run the demo's study, with the pair of an earlier run if the folder holds it.

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
    if not (Run.is_run(folder) and Run(folder).config == config):
        Run.train(folder, "digits", _split(), config)
    run = Run(folder)
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
    return DemoStudy(layer_mem, unit_mem)


def _split() -> MemorizationSplit:
    """Four roles of one size; the other digits get none, or training takes longer."""
    n = len(Digits())
    unused = np.random.default_rng(0).permutation(n)[4 * _ROLE_SIZE :]
    sizes = dict.fromkeys(("candidate", "independent", "external"), _ROLE_SIZE)
    return MemorizationSplit.random(n, **sizes, exclude=unused.tolist())
