"""The paper's findings, claim by claim."""

from claims import (
    acting,
    atypical,
    consistency,
    depth,
    generality,
    labels,
    sublayers,
)
from claims.claim import Claim

CLAIMS = [
    claim
    for finding in (depth, labels, atypical, sublayers, acting, consistency, generality)
    for claim in finding.CLAIMS
]
DECIDES = {claim.name: claim.decides for claim in CLAIMS}

__all__ = ["CLAIMS", "DECIDES", "Claim"]
