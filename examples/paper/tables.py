"""Tables of the results of several pairs: of effects, claims and layers."""

import pandas as pd
from claims import CLAIMS
from over_pairs import over_pairs
from verdict import together, verdict

CONTROLS = ("untrained", "shuffled", "external")
_LAYER_MEM = ["layer", "kind", "layer_mem", "external", "calibrated", "symmetric"]
_UNIT_MEM = ["layer", "units", "dead", "mean", "member_share", "gap"]
_SHOWN = 16


def effects(pairs):
    """Tabulate each effect, one row per claim, effect, estimator, subject and pair.

    Args:
        pairs: The measurements of the pairs, by number.
    """
    rows = [
        (claim.name, effect, estimator, subject, number, float(value))
        for claim in CLAIMS
        for subject in ("trained", *claim.controls)
        for number, measured in pairs.items()
        for (effect, estimator), value in claim.measure(measured.of(subject)).items()
    ]
    columns = ["claim", "effect", "estimator", "subject", "pair", "value"]
    return pd.DataFrame(rows, columns=columns)


def estimates(effects):
    """Average effects over pairs: one row per claim, effect, estimator and subject."""
    by = ["claim", "effect", "estimator", "subject"]
    table = over_pairs(effects, ["value"], by)
    ends = zip(table["value_low"], table["value_high"], strict=True)
    return table.assign(verdict=[verdict(low, high) for low, high in ends])


def verdicts(estimates):
    """Decide the claims: one row per claim, with the published metric on controls."""
    rows = []
    for claim in CLAIMS:
        of = estimates[estimates["claim"] == claim.name]
        decides = of["estimator"].isin(claim.decides) & (of["subject"] == "trained")
        published = of[of["estimator"] == "published"]
        rows.append(
            {
                "claim": claim.name,
                "pairs": of["pairs"].min(),
                "verdict": together(of.loc[decides, "verdict"]),
                "published": _of(published, "trained"),
                **{
                    f"published_{control}": _of(published, control)
                    for control in CONTROLS
                },
            }
        )
    return pd.DataFrame(rows)


def _of(estimates, subject):
    """Return the verdict from the estimates of a subject, or "" without estimates."""
    of = estimates.loc[estimates["subject"] == subject, "verdict"]
    return together(of) if len(of) else ""


def by_layer(pairs, trainings):
    """Tabulate LayerMem and UnitMem: one row per training, subject, pair and layer."""
    tables = {"layer_mem": [], "unit_mem": []}
    for number, of_number in pairs.items():
        for name, training in trainings.items():
            for subject in ("trained", *(CONTROLS if training.controls else ())):
                measured = of_number.of(subject)
                of = {"training": name, "subject": subject, "pair": number}
                layer_mem = measured(name, "layer-mem").to_pandas()[_LAYER_MEM]
                tables["layer_mem"].append(layer_mem.assign(**of))
                unit_mem = measured.units(name)[_UNIT_MEM]
                above = measured(name, "analysis").to_pandas()["unit_class"]
                unit_mem = unit_mem.merge(above[["layer", "above"]], on="layer")
                tables["unit_mem"].append(unit_mem.assign(**of))
    return {name: pd.concat(of, ignore_index=True) for name, of in tables.items()}


def by_epoch(pairs):
    """Tabulate mean UnitMem over layers during training: one row per pair and epoch."""
    return pd.DataFrame(
        (number, epoch, value)
        for number, measured in pairs.items()
        for epoch, value in enumerate(
            measured.mean_unit_mem_by_epoch("simclr"), start=1
        )
    ).set_axis(["pair", "epoch", "unit_mem"], axis=1)


def accuracy(pairs, trainings):
    """Tabulate the accuracy of the probes: one row per training and pair."""
    rows = [
        (name, number, *measured(name, "probe").to_pandas()["accuracy"])
        for name in trainings
        for number, measured in pairs.items()
    ]
    return pd.DataFrame(rows, columns=["training", "pair", "accuracy"])


def images(pairs):
    """List the most and the least memorised candidates of the first pair."""
    first = next(iter(pairs.values()))
    layer_mem = first("simclr", "layer-mem")
    ranked = layer_mem.top_samples(len(layer_mem.samples_to_pandas()))
    ends = {"most": ranked.head(_SHOWN), "least": ranked.tail(_SHOWN).iloc[::-1]}
    return pd.concat(of.assign(set=name) for name, of in ends.items())
