"""What a probe returns: its accuracy, and the test images that it classifies."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.functional import Estimate, accuracy
from lightly_memloc.probes.task import ProbeTask


@dataclass(frozen=True, eq=False)
class ProbeAccuracy(Estimate):
    """Accuracy of a probe, as an estimate over test images.

    Attributes:
        correct: Whether each test image of the task is classified correctly, in the
            order of ``task.test``, shape ``(N,)``.
    """

    correct: NDArray[np.bool_] = field(kw_only=True)

    @classmethod
    def of(cls, predicted: NDArray[Any], task: ProbeTask) -> "ProbeAccuracy":
        """Evaluate the predictions of a probe.

        Args:
            predicted: The predicted class of each test image, shape ``(N,)``.
            task: The task.
        """
        # A single number each: plain ones compare and print as such.
        plain: Any = [float(of) for of in accuracy(predicted, task.test_targets)]
        return cls(*plain, correct=predicted == task.test_targets)

    def __eq__(self, other: object) -> bool:
        """Whether the same test images are classified correctly."""
        return isinstance(other, ProbeAccuracy) and np.array_equal(
            self.correct, other.correct
        )

    __hash__ = None  # type: ignore[assignment]
