"""Interventions: what is done about memorisation, and what it does to an encoder."""

from lightly_memloc.interventions.exchange import exchange_layers
from lightly_memloc.interventions.prune import PrunedUnits, prune_units

__all__ = ["PrunedUnits", "exchange_layers", "prune_units"]
