"""Write the results: tables, figures and a page."""

import json

import tables
from figures import draw
from page import render
from provenance import made_with

from lightly_memloc.report import to_svg


def write_results(pairs, scale, command, images, folder):
    """Write the tables and figures to a folder, and the page beside it.

    Args:
        pairs: The measurements of the pairs, by number.
        scale: What was trained and measured.
        command: The command that was run.
        images: The folder of images.
        folder: The folder to write to.
    """
    folder.mkdir(exist_ok=True)
    effects = tables.effects(pairs)
    estimates = tables.estimates(effects)
    by_layer = tables.by_layer(pairs, scale.trainings)
    written = {
        **by_layer,
        "trainings": tables.by_training(by_layer, scale.trainings),
        "ties": tables.tied(pairs),
        "simulated": tables.simulated(),
        "effects": effects,
        "estimates": estimates,
        "verdicts": tables.verdicts(estimates),
        "accuracy": tables.accuracy(pairs, scale.trainings),
        "unit_mem_epochs": tables.by_epoch(pairs),
        "images": tables.images(pairs),
    }
    for name, table in written.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    run = made_with(pairs, scale, command)
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    for name, figure in draw(written, images).items():
        (folder / f"{name}.svg").write_text(to_svg(figure), encoding="utf-8")
    folder.with_suffix(".md").write_text(render(folder), encoding="utf-8")
