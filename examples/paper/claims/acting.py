"""Finding 5: fine-tuning and pruning by memorisation."""

from claims.claim import Claim


def _accuracy(measured, intervention):
    """Mean accuracy over trials, by strategy."""
    trials = measured("simclr", intervention).trials_to_pandas()
    return trials.groupby("strategy")["accuracy"].mean()


def _tuned(other):
    def measure(measured):
        accuracy = _accuracy(measured, "finetune")
        return {(f"most over {other}", "accuracy"): accuracy["most"] - accuracy[other]}

    return measure


def _pruned(kept, pruned):
    def measure(measured):
        accuracy = _accuracy(measured, "prune")
        effect = f"without {kept} over without {pruned}"
        return {(effect, "accuracy"): accuracy[kept] - accuracy[pruned]}

    return measure


CLAIMS = [
    Claim(
        "5a",
        "Fine-tuning the most memorising layer beats fine-tuning the last one.",
        _tuned("last"),
        "accuracy",
    ),
    Claim(
        "5b",
        "Fine-tuning the most memorising layer beats fine-tuning a random one.",
        _tuned("random"),
        "accuracy",
    ),
    Claim(
        "5c",
        "Pruning units of highest UnitMem costs more than pruning random units.",
        _pruned("random", "highest"),
        "accuracy",
    ),
    Claim(
        "5d",
        "Pruning units of lowest UnitMem costs less than pruning random units.",
        _pruned("lowest", "random"),
        "accuracy",
    ),
]
