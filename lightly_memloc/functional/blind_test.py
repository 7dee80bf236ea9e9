"""The blind test: can members be told from held-out images without the encoder?"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Unpack

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.membership import membership
from lightly_memloc.functional.prediction import folds
from lightly_memloc.functional.resampling import (
    Array,
    ResamplingArguments,
    group_numbers,
)

_STRENGTHS = (1e-4, 1e-2, 1.0)

# Matched images differ by at most this many standard deviations of the scores.
_CALIPER = 0.2


def blind_scores(
    members: ArrayLike, holdout: ArrayLike, groups: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Predict membership from features that know nothing of the encoder's training.

    A logistic regression is cross-fitted in five folds of whole groups: no image takes
    part in its own prediction.

    Args:
        members: Features of the members, shape ``(N, P)``, such as pixel statistics and
            unit activations of an untrained encoder. N is at least 10.
        holdout: Features of the held-out images, shape ``(M, P)``, M at least 10.
        groups: Group of each of the N + M images, members first.

    Returns:
        Log odds of membership, of shape ``(N,)`` and ``(M,)``.

    Raises:
        ValueError: If there are fewer than ten groups in a set, the shapes do not fit,
            or a feature is not finite.
    """
    # scikit-learn takes a second to import: results are read without it.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    first, second = (np.asarray(x, dtype=np.float64) for x in (members, holdout))
    if first.ndim != 2 or first.shape[1:] != second.shape[1:] or not first.shape[1]:
        raise ValueError(
            "Expected features of shape (N, P) and (M, P), got "
            f"{np.shape(members)} and {np.shape(holdout)}."
        )
    x = np.concatenate([first, second])
    labels = np.arange(len(x)) < len(first)
    if not np.isfinite(x).all():
        raise ValueError("Expected features that are finite.")
    group, _ = group_numbers(groups, len(x))
    n_groups = [len(np.unique(group[labels == of])) for of in (True, False)]
    if min(n_groups) < 10:
        raise ValueError(
            "Expected images of at least ten groups in both sets, got "
            f"{n_groups[0]} and {n_groups[1]}."
        )
    fold, scores = folds(labels, group), np.empty(len(x))
    for number in range(fold.max() + 1):
        fitted = fold != number
        inner = folds(labels[fitted], group_numbers(group[fitted], fitted.sum())[0])
        logistic = LogisticRegression(
            class_weight="balanced", solver="newton-cholesky", max_iter=1000
        )
        model = GridSearchCV(
            make_pipeline(StandardScaler(), logistic),
            {"logisticregression__C": _STRENGTHS},
            scoring="neg_log_loss",
            cv=PredefinedSplit(inner),
        )
        model.fit(x[fitted], labels[fitted])
        scores[~fitted] = model.decision_function(x[~fitted])
    return scores[labels], scores[~labels]


def blind_test(
    member_scores: ArrayLike,
    holdout_scores: ArrayLike,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    """Test whether members and held-out images differ in kind.

    If a classifier that never saw the encoder separates the two sets, a difference of
    their alignment says nothing about memorisation.

    Args:
        member_scores: From :func:`blind_scores`, shape ``(N,)``.
        holdout_scores: From :func:`blind_scores`, shape ``(M,)``.
        resampling: As for :func:`membership`.

    Returns:
        Estimate of the AUC, with fields of shape ``()`` and a one-sided p-value.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import blind_scores, blind_test
        >>> rng = np.random.default_rng(0)
        >>> members, holdout = rng.normal(1, size=(50, 3)), rng.normal(0, size=(50, 3))
        >>> auc = blind_test(*blind_scores(members, holdout))
        >>> bool(auc.value > 0.8), bool(auc.p < 0.01)
        (True, True)
    """
    auc = membership(member_scores, holdout_scores, None, **resampling).auc
    assert auc.p is not None
    one_sided = np.where(auc.value > 0.5, auc.p / 2, 1 - auc.p / 2)[0]
    return Estimate(auc.value[0], auc.low[0], auc.high[0], one_sided)


def matched_images(
    member_scores: ArrayLike, holdout_scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair members and held-out images with close blind scores [0].

    Pairs are formed in the order of the scores. The scores of a pair differ by at most
    a fifth of their standard deviation; images without a partner are left out.

    - [0]: Optimal caliper widths for propensity-score matching, Austin, 2011

    Args:
        member_scores: From :func:`blind_scores`, shape ``(N,)``.
        holdout_scores: From :func:`blind_scores`, shape ``(M,)``.

    Returns:
        Sorted positions of the members and of the held-out images that are paired, as
        many of one as of the other.

    Examples:
        >>> from lightly_memloc.functional import matched_images
        >>> matched_images([0.0, 2.0, 9.0], [2.1, 0.1, -5.0])
        (array([0, 1]), array([0, 1]))
    """
    first, second = (
        np.asarray(s, dtype=np.float64) for s in (member_scores, holdout_scores)
    )
    within = _CALIPER * np.concatenate([first, second]).std()
    orders = np.argsort(first, kind="stable"), np.argsort(second, kind="stable")
    pairs, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        one, other = orders[0][i], orders[1][j]
        difference = first[one] - second[other]
        if abs(difference) <= within:
            pairs.append((one, other))
        i += difference <= within
        j += difference >= -within
    paired = np.sort(np.array(pairs, dtype=np.int64).reshape(-1, 2), axis=0)
    return paired[:, 0], paired[:, 1]


def matched_strata(
    member_scores: ArrayLike, holdout_scores: ArrayLike, size: int = 5
) -> NDArray[np.int64]:
    """Divide matched images into strata of close blind scores.

    The pairs of :func:`matched_images` are sorted by their scores. Each stratum has as
    many members as held-out images, so that exchanging membership within it leaves the
    scores of either set nearly as they are.

    Args:
        member_scores: From :func:`blind_scores`, shape ``(N,)``.
        holdout_scores: From :func:`blind_scores`, shape ``(M,)``.
        size: Number of pairs in a stratum.

    Returns:
        Number of each image's stratum, shape ``(N + M,)``, members first; -1 for images
        without a counterpart.

    Examples:
        >>> from lightly_memloc.functional import matched_strata
        >>> matched_strata([0.0, 2.0, 9.0], [2.1, 0.1, -5.0], size=1)
        array([ 0,  1, -1,  1,  0, -1])
    """
    strata = []
    sets = (np.asarray(of, dtype=np.float64) for of in (member_scores, holdout_scores))
    matched = matched_images(member_scores, holdout_scores)
    for scores, paired in zip(sets, matched, strict=True):
        of_set = np.full(len(scores), -1)
        ascending = paired[np.argsort(scores[paired], kind="stable")]
        of_set[ascending] = np.arange(len(paired)) // size
        strata.append(of_set)
    return np.concatenate(strata)
