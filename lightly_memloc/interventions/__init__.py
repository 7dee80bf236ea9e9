"""Interventions: what is done about memorisation, and what it does to an encoder."""

from lightly_memloc.interventions.curate import (
    curate,
    retrain_without,
    write_filename_lists,
)
from lightly_memloc.interventions.exchange import exchange_layers
from lightly_memloc.interventions.measure import (
    measure_exchange,
    measure_fine_tuning,
    measure_pruning,
)
from lightly_memloc.interventions.measure_unit_tuning import measure_unit_tuning
from lightly_memloc.interventions.prune import PrunedUnits, prune_units
from lightly_memloc.interventions.select import ranked_layers, select_units
from lightly_memloc.interventions.tune_unit import tune_unit

__all__ = [
    "PrunedUnits",
    "curate",
    "exchange_layers",
    "measure_exchange",
    "measure_fine_tuning",
    "measure_pruning",
    "measure_unit_tuning",
    "prune_units",
    "ranked_layers",
    "retrain_without",
    "select_units",
    "tune_unit",
    "write_filename_lists",
]
