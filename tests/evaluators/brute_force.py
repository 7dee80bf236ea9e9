"""Whole results worked out again: plain hooks, image by image, numpy in double precision.

Intervals and p-values are those of the public definitions, given the values that were
worked out here.
"""

import numpy as np
import pandas as pd
import torch

from lightly_memloc import MultiViewDataset, functional
from lightly_memloc.functional.selectivity_null import selectivity_null
from lightly_memloc.metrics import MemberShare
from tests.evaluators.tiny import KINDS, STATES, UNITS
from tests.metrics.streaming import estimates_of

PIXELS = [
    f"pixels:{name}"
    for name in (
        "log_distance",
        "log_normalized_distance",
        "mean",
        "squared_mean",
        "deviation",
    )
]
ADJUSTED = dict.fromkeys(
    [
        "adjusted_gap",
        *(f"adjusted_gap_{of}" for of in ("low", "high", "p", "p_adjusted")),
        *(f"adjusted_gap_simultaneous_{of}" for of in ("low", "high")),
    ],
    np.nan,
)
RECTIFY = {
    "auto": lambda z: np.maximum(z, 0),
    "relu": lambda z: np.maximum(z, 0),
    "abs": np.abs,
    "none": lambda z: z,
}


def outputs(encoder, views):
    """Output of each module for the views of an image, by the module's name."""
    seen = {}
    hooks = [
        module.register_forward_hook(
            lambda _, args, output, name=name: seen.__setitem__(name, output.numpy())
        )
        for name, module in encoder.named_modules()
    ]
    with torch.no_grad():
        encoder.eval()(views)
    for hook in hooks:
        hook.remove()
    return seen


def distance(z, pairs, normalize):
    """Mean distance of pairs of rows."""
    z = z.reshape(len(z), -1)
    if normalize:
        z = np.array([row / np.linalg.norm(row) for row in z])
    firsts = range(len(z)) if pairs == "all" else [0]
    return np.mean(
        [np.linalg.norm(z[v] - z[w]) for v in firsts for w in range(v + 1, len(z))]
    )


def estimate(name, values):
    """Columns of an estimate."""
    fields = (
        *("value", "low", "high", "p", "p_adjusted", "null_low", "null_high"),
        *("simultaneous_low", "simultaneous_high"),
    )
    return {
        name if field == "value" else f"{name}_{field}": getattr(values, field)
        for field in fields
        if getattr(values, field) is not None
    }


def parts(n_views, pairs):
    """Positions of all views, of the first half and of the second; an anchor in all."""
    anchor = [0] if pairs == "anchor" else []
    views = list(range(len(anchor), n_views + len(anchor)))
    half = n_views // 2
    if half + len(anchor) < 2:
        return (anchor + views,)
    return anchor + views, anchor + views[:half], anchor + views[half : 2 * half]


def scores(a, normalization):
    """SSLMem of distances under f and g."""
    m = a["g"] - a["f"]
    if normalization == "relative":
        return m / (a["g"] + a["f"])
    if normalization == "range":
        return m / (m.max(axis=0) - m.min(axis=0))
    return m


def pixel_statistics(views):
    """Logarithms of the pixels' distances, mean, its square, standard deviation."""
    views = views.astype(np.float64)
    of_all = [distance(views, "all", normalize) for normalize in (False, True)]
    mean = views.sum() / views.size
    return [*np.log(of_all), mean, mean**2, np.sqrt(((views - mean) ** 2).mean())]


def matched_share(dataset, transform, mix, wins, n_views, seed):
    """Member share among images that are alike by their pixels and classes."""
    views = MultiViewDataset(dataset, transform, n_views, seed)
    images, features = np.concatenate(mix), []
    for index in images:
        of_image = views[index][0].numpy()
        small = of_image.mean(axis=0).reshape(3, 4, 4, 4, 4).mean(axis=(2, 4))
        features.append([*pixel_statistics(of_image), *small.ravel()])
    classes = np.array(dataset.targets)[images]
    indicators = classes[:, None] == np.unique(classes)[1:]
    x = np.concatenate([features, indicators], axis=1)
    n = len(mix[0])
    strata = functional.matched_strata(*functional.blind_scores(x[:n], x[n:]))
    kept = strata >= 0
    is_member = np.arange(len(images)) < n
    return functional.member_share(
        wins[kept], is_member[kept], seed=seed, strata=strata[kept]
    )


def layer_mem(
    f,
    g,
    dataset,
    split,
    transform,
    *,
    n_views,
    seed,
    pairs,
    anchor_transform,
    normalize,
    normalization,
    top_k,
    n_resamples,
):
    """The tables of LayerMem."""
    views = MultiViewDataset(
        dataset,
        transform,
        n_views=n_views,
        seed=seed,
        anchor_transform=anchor_transform,
    )
    role_of = {
        int(index): role
        for role in ("candidate", "independent", "external")
        for index in getattr(split, role)
    }
    images = pd.DataFrame({"index": sorted(role_of)})
    images["filename"] = [dataset.filenames[i] for i in images["index"]]
    images["role"] = images["index"].map(role_of)
    z = {
        name: [outputs(encoder, views[i][0]) for i in images["index"]]
        for name, encoder in (("f", f), ("g", g))
    }
    a, *halves = (
        {
            name: np.array(
                [
                    [
                        distance(of_image[module][rows], pairs, normalize)
                        for module in STATES.values()
                    ]
                    for of_image in of_images
                ]
            )
            for name, of_images in z.items()
        }
        for rows in parts(n_views, pairs)
    )
    m, *halves = (scores(of, normalization) for of in (a, *halves))
    of = {role: m[images["role"] == role] for role in set(images["role"])}
    a_f = {role: a["f"][images["role"] == role] for role in of}
    is_candidate = (images["role"] == "candidate").to_numpy()
    k = min(top_k, is_candidate.sum() // 2)
    most = least = np.nan
    if halves:
        first, second = (half[is_candidate] for half in halves)
        by_first_half = second[np.argsort(-first[:, -1], kind="stable")]
        most, least = (
            of.mean(axis=0) for of in (by_first_half[:k], by_first_half[-k:])
        )
    frame = pd.DataFrame({"layer": KINDS.keys(), "kind": KINDS.values()})
    draws = {"n_resamples": n_resamples, "seed": seed}
    scaled = draws | {"normalization": normalization}
    candidate, external = of["candidate"], of["external"]
    columns = (
        estimate("layer_mem", functional.layer_mem(candidate, **draws))
        | estimate("delta", functional.delta_layer_mem(candidate, **draws))
        | {
            "top_k": most,
            "least_k": least,
            "external": external.mean(axis=0),
            "independent": of["independent"].mean(axis=0),
        }
        | estimate(
            "calibrated", functional.calibrated_layer_mem(candidate, external, **scaled)
        )
        | estimate(
            "symmetric",
            functional.symmetric_layer_mem(candidate, of["independent"], **scaled),
        )
        | estimate(
            "alignment_gap",
            functional.alignment_gap(a_f["candidate"], a_f["external"], **draws),
        )
        # Fewer than ten images of a role are too few to adjust.
        | ADJUSTED
        | estimate(
            "calibrated_delta",
            functional.calibrated_layer_mem(candidate, external, steps=True, **scaled),
        )
        | estimate(
            "symmetric_delta",
            functional.symmetric_layer_mem(
                candidate, of["independent"], steps=True, **scaled
            ),
        )
        | {"repeats": ""}
    )
    order = np.random.default_rng(seed).permutation(len(external))
    one, other = map(np.sort, np.array_split(order, 2))
    control = (
        estimate("layer_mem", functional.layer_mem(external, **draws))
        | estimate(
            "symmetric",
            functional.symmetric_layer_mem(external[one], external[other], **scaled),
        )
        | estimate(
            "alignment_gap",
            functional.alignment_gap(
                a_f["external"][one], a_f["external"][other], **draws
            ),
        )
        | ADJUSTED
    )
    pixels = np.array([pixel_statistics(views[i][0].numpy()) for i in images["index"]])
    of_halves = {
        f"{name}:{layer}": column
        for name, half in zip(("first", "second"), halves, strict=False)
        for layer, column in zip(STATES, half.T, strict=True)
    }
    return ({"halves": images.assign(**of_halves)} if halves else {}) | {
        "layers": frame.assign(**columns),
        "control": frame.assign(**control),
        "samples": images.assign(**dict(zip(STATES, m.T, strict=True))),
        "covariates": images.assign(
            **dict(zip(PIXELS, pixels.T, strict=True)),
            **{"class": np.array(dataset.targets)[images["index"]]},
        ),
        "distances": images.assign(
            **{
                f"{name}:{layer}": column
                for name, of_encoder in a.items()
                for layer, column in zip(STATES, of_encoder.T, strict=True)
            }
        ),
    }


def activations(model, dataset, transform, indices, n_views, seed, rectify):
    """Activations of images, (images, units), and whether they were ever negative."""
    views = MultiViewDataset(dataset, transform, n_views=n_views, seed=seed)
    mu = {layer: [] for layer in UNITS}
    negative = dict.fromkeys(UNITS, False)
    for index in indices:
        of_image = outputs(model, views[int(index)][0])
        for layer, (module, channel_dim) in UNITS.items():
            z = np.moveaxis(of_image[module], channel_dim, -1)
            negative[layer] |= bool((z < 0).any())
            mu[layer].append(RECTIFY[rectify](z).reshape(-1, z.shape[-1]).mean(axis=0))
    return {layer: np.array(rows) for layer, rows in mu.items()}, negative


def winners_of_halves(model, dataset, transform, indices, n_views, seed, rectify):
    """The images that activate each unit most over either half of the views."""
    views = MultiViewDataset(dataset, transform, n_views=n_views, seed=seed)
    half = n_views // 2
    winners = []
    for part in (slice(half), slice(n_views - half, None)):
        mu = {layer: [] for layer in UNITS}
        for index in indices:
            of_image = outputs(model, views[int(index)][0][part])
            for layer, (module, channel_dim) in UNITS.items():
                z = np.moveaxis(of_image[module], channel_dim, -1)
                z = RECTIFY[rectify](z).reshape(-1, z.shape[-1])
                mu[layer].append(z.mean(axis=0))
        # An image of which nothing is left after rectification wins nothing.
        winners.append(
            {
                layer: [
                    indices[int(np.argmax(of))] if max(of) != 0 else None
                    for of in np.transpose(rows)
                ]
                for layer, rows in mu.items()
            }
        )
    return winners


def selectivity(largest, rest):
    """(largest - rest) / (largest + rest), 0 for a dead unit."""
    return 0.0 if largest == 0 else (largest - rest) / (largest + rest)


def by_layer(units, metric, rectified):
    """A row for each layer."""
    alive = units[~units["dead"]].groupby("layer")[metric]
    rows = [
        {
            "layer": layer,
            "kind": KINDS[layer],
            "units": int((units["layer"] == layer).sum()),
            "dead": int(units[units["layer"] == layer]["dead"].sum()),
            "mean": np.mean(alive.get_group(layer)),
            "median": np.median(alive.get_group(layer)),
            "rectified": rectified[layer],
        }
        for layer in UNITS
    ]
    return pd.DataFrame(rows)


def unit_mem(
    model, dataset, transform, *, indices, holdout, n_views, seed, rest, rectify
):
    """The tables of UnitMem."""
    rng = np.random.default_rng(seed)
    n_mix = min(len(indices), len(holdout))
    mix = rng.permutation(indices)[:n_mix], rng.permutation(holdout)[:n_mix]
    measured = np.sort([*indices, *mix[1]])
    mu, negative = activations(
        model, dataset, transform, measured, n_views, seed, rectify
    )
    is_member = np.isin(measured, indices)
    members = [int(i) for i in measured[is_member]]
    first, last = winners_of_halves(
        model, dataset, transform, members, n_views, seed, rectify
    )
    units, top, nulls = [], [], []
    for layer, of_layer in mu.items():
        for unit, of_unit in enumerate(of_layer.T):
            on_members = of_unit[is_member]
            winner = int(measured[is_member][on_members.argmax()])
            others = np.delete(on_members, on_members.argmax())
            top_six = -np.sort(-on_members)[:6, None]
            others = np.median(others) if rest == "median" else np.mean(others)
            units.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "unit_mem": selectivity(on_members.max(), others),
                    "mu_max": on_members.max(),
                    "mu_rest": others,
                    "index": winner,
                    "filename": dataset.filenames[winner],
                    "dead": bool(on_members.max() == 0),
                }
            )
            is_same = first[layer][unit] == last[layer][unit] is not None
            units[-1]["agreement"] = np.nan if units[-1]["dead"] else float(is_same)
            null = selectivity_null(top_six, np.array([others]))
            nulls.append(np.nan if units[-1]["dead"] else null[0])
            if not units[-1]["dead"]:
                for rank, i in enumerate(np.argsort(-of_unit, kind="stable")[:6]):
                    top.append((layer, unit, rank + 1, measured[i], of_unit[i]))
    units = pd.DataFrame(units)
    largest = units["mu_max"].abs().where(~units["dead"])
    medians = largest.groupby(units["layer"]).median()
    units["weak"] = largest < 0.01 * units["layer"].map(medians)
    of_layer = {layer: units["layer"] == layer for layer in UNITS}
    top = pd.DataFrame(top, columns=["layer", "unit", "rank", "index", "mu"])
    share = MemberShare([rows.shape[1] for rows in mu.values()], *mix, seed=seed)
    share.update(
        torch.from_numpy(np.concatenate(list(mu.values()), axis=1)),
        torch.from_numpy(measured),
    )
    against_holdout = estimates_of(share, seed)
    rectified = {layer: negative[layer] and rectify != "none" for layer in UNITS}
    named = np.unique(top["index"])
    return {
        "units": units,
        "layers": by_layer(units, "unit_mem", rectified).assign(
            **estimate("member_share", against_holdout.member_share),
            **estimate("gap", against_holdout.gap),
            **estimate(
                "matched_share",
                matched_share(
                    dataset,
                    transform,
                    np.split(share.mix, 2),
                    share.compute()["wins"].numpy(),
                    n_views,
                    seed,
                ),
            ),
            null=[np.nanmean(np.array(nulls)[of]) for of in of_layer.values()],
            agreement=[units["agreement"][of].mean() for of in of_layer.values()],
            weak=[units["weak"][of].sum() for of in of_layer.values()],
        ),
        "top_images": top,
        "images": pd.DataFrame(
            {
                "index": named,
                "filename": [dataset.filenames[i] for i in named],
                "role": ["member" if i in set(indices) else "holdout" for i in named],
            }
        ),
    }


def class_mem(model, dataset, transform, *, indices, n_views, seed, rectify):
    """The tables of ClassMem."""
    mu, negative = activations(
        model, dataset, transform, indices, n_views, seed, rectify
    )
    targets = np.array(dataset.targets)[indices]
    classes = np.unique(targets)
    units = []
    for layer, of_layer in mu.items():
        for unit, of_unit in enumerate(of_layer.T):
            means = np.array([of_unit[targets == c].mean() for c in classes])
            others = np.delete(means, means.argmax()).mean()
            units.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "class_mem": selectivity(means.max(), others),
                    "class": classes[means.argmax()],
                    "dead": bool(means.max() == 0),
                }
            )
    units = pd.DataFrame(units)
    rectified = {layer: negative[layer] and rectify != "none" for layer in UNITS}
    return {"units": units, "layers": by_layer(units, "class_mem", rectified)}
