"""The fast probe: logistic regression on frozen features."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from lightly_memloc.functional import Estimate, accuracy
from lightly_memloc.probes.features import features
from lightly_memloc.probes.task import ProbeTask


def logistic_probe(
    encoder: nn.Module, task: ProbeTask, seed: int = 0, device: str = "auto"
) -> Estimate:
    """Test how well logistic regression tells classes by an encoder's frozen features.

    scikit-learn's, with its default penalty, on features that are standardised. The
    answer of one pass over the images; it draws nothing at random.

    Args:
        encoder: The encoder; ends as it began.
        task: The labelled images.
        seed: Not used: the solver has no randomness.
        device: ``"auto"`` or a torch device.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features(encoder, task, task.train, device), task.train_targets)
    predicted = model.predict(features(encoder, task, task.test, device))
    return accuracy(predicted, task.test_targets)
