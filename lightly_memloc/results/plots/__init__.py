"""Results as figures, one style for all."""

from lightly_memloc.results.plots.accuracy import plot_intervention, plot_probes
from lightly_memloc.results.plots.consistency import plot_consistency
from lightly_memloc.results.plots.depth import (
    plot_atypical,
    plot_layer_mem,
    plot_membership,
    plot_retrained,
    plot_ssl_mem_runs,
    plot_sublayers,
)
from lightly_memloc.results.plots.images import (
    plot_sorted_scores,
    plot_sorted_ssl_mem,
)
from lightly_memloc.results.plots.units import (
    plot_member_share,
    plot_selectivity,
    plot_unit_class,
    plot_unit_mem_epochs,
    plot_unit_tuning,
)

__all__ = [
    "plot_atypical",
    "plot_consistency",
    "plot_intervention",
    "plot_layer_mem",
    "plot_member_share",
    "plot_membership",
    "plot_probes",
    "plot_retrained",
    "plot_selectivity",
    "plot_sorted_scores",
    "plot_sorted_ssl_mem",
    "plot_ssl_mem_runs",
    "plot_sublayers",
    "plot_unit_class",
    "plot_unit_mem_epochs",
    "plot_unit_tuning",
]
