"""Tables of the results of several pairs: of effects, claims and layers."""

import numpy as np
import pandas as pd
from claims import CLAIMS, DECIDES
from claims.layers import late, rise
from class_tuned import simulate
from measured import CONTROLS
from over_pairs import over_pairs
from scale import AUGMENTED, TIED
from verdict import NOT_TESTABLE, adjusted, holm, of_claim, over_claims, verdict

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
    """Average effects over pairs: one row per claim, effect, estimator and subject.

    ``value_p_adjusted`` is corrected over the effects of a claim with one estimator.
    """
    by = ["claim", "effect", "estimator", "subject"]
    table = over_pairs(effects, ["value"], by)
    for _, of in table.groupby(["claim", "estimator", "subject"], sort=False):
        corrected = adjusted(of["value"], of["value_p"])
        table.loc[of.index, "value_p_adjusted"] = corrected
    return table


def verdicts(estimates):
    """Decide the claims: one row per claim, with the published metric on controls."""
    deciding = _decided(estimates, DECIDES, "trained")
    published = {
        subject: _decided(estimates, dict.fromkeys(DECIDES, "published"), subject)
        for subject in ("trained", *CONTROLS)
    }
    undecided = {"p": np.nan, "holm": np.nan, "q": np.nan, "verdict": ""}
    untestable = undecided | {"verdict": NOT_TESTABLE}
    rows = []
    for name, of in estimates.groupby("claim", sort=False):
        by_metric = published["trained"].get(name, undecided)
        row = {"claim": name, "pairs": of["pairs"].min()}
        row |= deciding.get(name, untestable)
        row |= {"published": by_metric["verdict"]}
        row |= {
            f"published_{column}": by_metric[column] for column in ("p", "holm", "q")
        }
        for control in CONTROLS:
            on_control = published[control].get(name, undecided)
            row[f"published_{control}"] = on_control["verdict"]
        rows.append(row)
    return pd.DataFrame(rows)


def _decided(estimates, estimators, subject):
    """Decide claims by one estimator each, from the estimates of a subject.

    Args:
        estimates: The estimates.
        estimators: The deciding estimator by claim.
        subject: The subject.

    Returns:
        ``p``, ``holm``, ``q`` and ``verdict`` by claim, without claims that the
        estimator does not measure.
    """
    decides = estimates["estimator"] == estimates["claim"].map(estimators)
    chosen = estimates[decides & (estimates["subject"] == subject)]
    found = {
        name: of_claim(of["value"], of["value_p"])
        for name, of in chosen.groupby("claim", sort=False)
    }
    if not found:
        return {}
    p = [float(p) for p, _ in found.values()]
    return {
        name: {"p": p, "holm": by_holm, "q": q, "verdict": verdict(q, is_for)}
        for (name, (_, is_for)), p, by_holm, q in zip(
            found.items(), p, *over_claims(p), strict=True
        )
    }


def by_layer(pairs, trainings):
    """Tabulate LayerMem and UnitMem: one row per training, subject, pair and layer."""
    tables = {"layer_mem": [], "unit_mem": []}
    for number, of_number in pairs.items():
        for name, training in trainings.items():
            for subject in _subjects(name, training):
                measured = of_number.of(subject)
                of = {"training": name, "subject": subject, "pair": number}
                layer_mem = measured(name, "layer-mem").to_pandas()[_LAYER_MEM]
                tables["layer_mem"].append(layer_mem.assign(**of))
                unit_mem = measured.units(name)[_UNIT_MEM]
                if not subject.startswith("under/"):
                    above = measured(name, "analysis").to_pandas()["unit_class"]
                    unit_mem = unit_mem.merge(above[["layer", "above"]], on="layer")
                tables["unit_mem"].append(unit_mem.assign(**of))
    return {name: pd.concat(of, ignore_index=True) for name, of in tables.items()}


def _subjects(name, training):
    others = AUGMENTED.keys() - {name} if name in AUGMENTED else ()
    controls = CONTROLS if training.controls else ()
    return ("trained", *controls, *(f"under/{other}" for other in others))


def by_training(by_layer, trainings):
    """Tabulate the memorisation of each training by both measures, over pairs.

    Args:
        by_layer: The tables of :func:`by_layer`.
        trainings: The trainings by name.

    Returns:
        One row per training, with intervals and p-values: ``rise``, the mean symmetric
        LayerMem of the last third of the layers minus that of the first, and ``share``,
        the share of units of the last third that members win, minus one half.
        ``_p_adjusted`` is corrected over the trainings by Holm's method.
    """
    rows = []
    for (name, pair), layers in _trained(by_layer["layer_mem"]):
        rows.append((name, pair, "rise", rise(layers, "symmetric")))
    for (name, pair), layers in _trained(by_layer["unit_mem"]):
        rows.append((name, pair, "share", late(layers, "member_share") - 0.5))
    table = pd.DataFrame(rows, columns=["training", "pair", "measure", "value"])
    table = table.pivot(index=["training", "pair"], columns="measure", values="value")
    table = table.loc[list(trainings)].reset_index()
    table = over_pairs(table, ["rise", "share"], ["training"])
    for column in ("rise", "share"):
        known = table[f"{column}_p"].notna()
        corrected = holm(table.loc[known, f"{column}_p"])
        table.loc[known, f"{column}_p_adjusted"] = corrected
    return table


def _trained(table):
    return table[table["subject"] == "trained"].groupby(["training", "pair"])


def tied(pairs):
    """Tabulate the ties of units: one row per training, pair, layer and images."""
    tables = []
    for name in TIED:
        for number, measured in pairs.items():
            layers = measured(name, "ties").to_pandas()
            of = layers.groupby(["layer", "seen"], sort=False)
            columns = ["image_selectivity", "class_selectivity", "tied"]
            means = of[columns].mean().reset_index()
            tables.append(means.assign(training=name, pair=number))
    return pd.concat(tables, ignore_index=True)


def simulated():
    """Simulate units without memorisation: one row per strength of class tuning."""
    return pd.DataFrame(
        {"tuning": tuning, **simulate(tuning)} for tuning in (0.0, 1.0, 2.0, 4.0)
    )


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
