"""UnitMem of both encoders of a pair, with exchanged roles.

Only this module knows how the member share is estimated with a reference encoder.
"""

from keep import keep

import lightly_memloc as memloc

_AVERAGED = ["mean", "member_share", "gap"]


def measure_units(folder, encoders, dataset, split, transform, options):
    """Measure UnitMem of f and g in a folder.

    UnitMem of f compares candidates with independent images. UnitMem of g compares
    independent images with candidates.

    Returns:
        UnitMem of f.
    """
    f, g = encoders
    candidate, independent = split.candidate, split.independent
    of_f, _ = (
        keep(
            folder / name,
            lambda encoder=encoder, members=members, others=others: (
                memloc.measure_unit_mem(
                    encoder, dataset, transform, members, holdout=others, **options
                )
            ),
        )
        for name, encoder, members, others in (
            ("unit-mem", f, candidate, independent),
            ("unit-mem-g", g, independent, candidate),
        )
    )
    return of_f


def read_units(load):
    """Compute UnitMem of each layer, averaged over f and g.

    f was trained on the candidates and g on the independent images. Both are measured
    on both sets. An image that wins units of any encoder counts for members in one
    encoder and against members in the other. What remains in member share and gap is
    memorisation.

    Args:
        load: Function that loads a result of the pair by its name.
    """
    f, g = (load(name).layers_to_pandas() for name in ("unit-mem", "unit-mem-g"))
    return f.assign(**{name: (f[name] + g[name]) / 2 for name in _AVERAGED})
