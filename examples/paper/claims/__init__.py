"""The paper's findings, claim by claim."""

from claims import (
    acting,
    atypical,
    augmentation,
    consistency,
    depth,
    generality,
    labels,
    sublayers,
)
from claims.claim import Claim

_FINDINGS = (
    depth,
    labels,
    atypical,
    sublayers,
    acting,
    consistency,
    generality,
    augmentation,
)
CLAIMS = sorted(
    (claim for finding in _FINDINGS for claim in finding.CLAIMS),
    key=lambda claim: claim.name,
)
DECIDES = {claim.name: claim.decides for claim in CLAIMS}

__all__ = ["CLAIMS", "DECIDES", "Claim"]
