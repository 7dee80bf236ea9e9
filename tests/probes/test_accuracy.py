import json

import numpy as np

from lightly_memloc.probes import ProbeAccuracy, ProbeTask
from tests.probes.pixels import PLAIN


def test_a_single_number_with_its_interval(digits):
    task = ProbeTask(digits, range(10, 20), range(4), PLAIN)
    found = ProbeAccuracy.of(np.array([0, 1, 2, 7]), task)
    assert found.correct.tolist() == [True, True, True, False]
    assert (found.value > 0.5) is True
    assert json.loads(json.dumps(found.columns("accuracy")))["accuracy"] == 0.75
    assert found == ProbeAccuracy.of(np.array([0, 1, 2, 9]), task)
    assert found != ProbeAccuracy.of(np.array([0, 1, 7, 3]), task)
