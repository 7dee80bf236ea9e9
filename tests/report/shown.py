"""What the tests of reports share: made-up results, and reading what is drawn."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from rich.console import Console

from lightly_memloc import load_result
from lightly_memloc.report import report_of
from tests.estimation.measured import from_distances

COMMITTED = Path(__file__).parents[2] / "docs" / "results"


WIDTH = 400


HOSTILE = "<img src=x onerror=alert(1)>.png"


CLASS = "<b>&'\"bold"


VIT = [
    (f"encoder.layers.encoder_layer_{block}.{name}", kind)
    for block in range(12)
    for name, kind in (("self_attention", "attention"), ("mlp", "mlp"))
]


RESNET = [("conv1", "conv"), ("layer1.0", "block"), ("layer2.0", "block")]


def layer_mem_of(layers, reference=True, seed=0):
    """LayerMem of made-up distances of 20 images a role."""
    rng = np.random.default_rng(seed)
    roles = np.repeat(["candidate", "independent", "external"], 20)
    images = pd.DataFrame({"index": range(60), "filename": "a.png", "role": roles})
    images["filename"] = images["index"].astype(str) + ".png"
    m = rng.normal(0.01, 0.02, size=(60, len(layers)))
    return from_distances(
        layers,
        images,
        1 - m,
        1 + m if reference else None,
        {
            "normalization": "relative",
            "top_k": 5,
            "seed": 0,
            "skipped": [],
            "reference": reference,
        },
        200,
    )


def with_effect(effect, reference=True, external=20, layers=("conv1", "layer1.0")):
    rng = np.random.default_rng(0)
    roles = ["candidate"] * 20 + ["independent"] * 20 + ["external"] * external
    n = len(roles)
    images = pd.DataFrame(
        {"index": range(n), "filename": [f"{i}.png" for i in range(n)], "role": roles}
    )
    m = rng.normal(0, 0.01, size=(n, len(layers)))
    m[:20, -1] += effect
    return from_distances(
        [(name, "conv") for name in layers],
        images,
        1 - m,
        1 + m if reference else None,
        {"normalization": "relative", "top_k": 5, "seed": 0, "skipped": []},
        300,
    )


def estimate(name, values, p):
    """Columns of an estimate, whose interval is 0.1 to either side."""
    values = pd.Series(values)
    return {
        name: values,
        f"{name}_low": values - 0.1,
        f"{name}_high": values + 0.1,
        f"{name}_p": p,
    }


def drawn(figure):
    """The figure as it is seen 400 pixels wide."""
    figure.set_dpi(WIDTH / figure.get_size_inches()[0])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def texts(figure):
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    ]


def line(figure, label):
    (found,) = [of for of in figure.axes[0].lines if of.get_label() == label]
    return found.get_ydata()


def band(figure):
    """Lower and upper ends of the bands, in the order in which they were drawn."""
    return [
        (path.vertices[:, 1].min(), path.vertices[:, 1].max())
        for collection in figure.axes[0].collections
        for path in collection.get_paths()
    ]


def printed(result, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    for table in report_of(result).tables():
        console.print(table)
    return console.export_text()


class Opened:
    """A page with all that it asked for and complained of."""

    def __init__(self, browser, path, width=1440):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints, self.requests = [], []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(".chart svg")

    def units(self):
        return self.page.locator(".unit h3").all_inner_texts()

    def count(self):
        found, total = re.match(
            r"(\d+) of (\d+) units", self.page.inner_text("#count")
        ).groups()
        return int(found), int(total)


def atlas(page_file):
    text = page_file.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'id="atlas-data">(.*?)</script>', text, re.DOTALL).group(1)
    )


def live_units(run):
    units = load_result(run / "unit-mem").to_pandas()
    return units[~units["dead"]]
