"""What is said of members and held-out images that differ in kind."""

from collections.abc import Mapping

from lightly_memloc.report.tables import equal_to


def differing(blind: Mapping[str, float], advice: str = "") -> str:
    """Say that nothing can be concluded.

    Args:
        blind: The blind test, with ``auc`` and ``auc_p``.
        advice: What else to do, as the end of a sentence.
    """
    return (
        "Members and held-out images differ in kind, so nothing can be concluded from "
        "how the encoder treats them: a classifier that never saw the encoder tells them "
        f"apart (AUC {blind['auc']:.2f}, 0.50 by chance, p {equal_to(blind['auc_p'])}). "
        "Compare with held-out images that come from the same source as the members"
        f"{advice}."
    )
