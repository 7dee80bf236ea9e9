"""Probes: evaluate encoders on labelled images."""

from lightly_memloc.probes.accuracy import ProbeAccuracy
from lightly_memloc.probes.fine_tune import FineTuned, fine_tune
from lightly_memloc.probes.frozen_features import knn_probe, logistic_probe
from lightly_memloc.probes.linear import linear_probe
from lightly_memloc.probes.measure import PROBES, measure_probes, probe_named
from lightly_memloc.probes.task import ProbeTask

__all__ = [
    "PROBES",
    "FineTuned",
    "ProbeAccuracy",
    "ProbeTask",
    "fine_tune",
    "knn_probe",
    "linear_probe",
    "logistic_probe",
    "measure_probes",
    "probe_named",
]
