"""Writing a report: one page that opens offline."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.findings import finding
from lightly_memloc.report.html.atlas import Atlas
from lightly_memloc.report.html.charts import (
    chart_script,
    layer_mem_chart,
    member_share_chart,
    unit_mem_chart,
)
from lightly_memloc.report.html.summary import Summary
from lightly_memloc.report.html.thumbnails import thumbnails
from lightly_memloc.report.save import to_svg
from lightly_memloc.report.saved import Saved
from lightly_memloc.report.tables import Table, result_tables
from lightly_memloc.results import (
    LayerMemResult,
    Result,
    SSLMemRunsResult,
    UnitMemResult,
    plot_epochs,
)

_GALLERY = 12
_TITLES = {
    "layer-mem": "Layers",
    "ssl-mem": "Several runs",
    "unit-mem": "Units",
    "class-mem": "Units and classes",
    "membership": "Membership inference",
    "analysis": "Layers, images and units compared",
    "probe": "Accuracy",
    "prune": "Pruned units",
    "finetune": "Fine-tuned layers",
    "exchange": "Exchanged layers",
    "tune-unit": "Tuned units",
    "curate": "Curated images",
    "retrain": "Trained without images",
}


@dataclass(frozen=True)
class Picture:
    """An image in a gallery.

    Attributes:
        name: Its file name.
        ssl_mem: Its SSLMem in the last layer.
        picture: Its thumbnail as a data URI, if there is one.
    """

    name: str
    ssl_mem: float
    picture: str | None


@dataclass(frozen=True)
class Chart:
    """A chart or a figure.

    Attributes:
        title: What it shows.
        spec: An interactive chart's specification, if it is one.
        image: Else a picture as a data URI.
    """

    title: str
    spec: dict[str, Any] | None = None
    image: str | None = None


@dataclass(frozen=True)
class Section:
    """What the page tells of a result.

    Attributes:
        name: The name of the result's folder.
        title: What it is about.
        finding: What it says, in words.
        charts: Its charts.
        tables: Its tables.
    """

    name: str
    title: str
    finding: str
    charts: list[Chart]
    tables: list[Table]


def write_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    dataset: Any = None,
) -> Path:
    """Write one self-contained HTML page of what was measured.

    It sums up in words, shows interactive charts of layers and units, the most and the
    least memorised images, and the unit atlas: of each layer the most memorising units
    with the images that activate them most. It opens offline.

    Args:
        folder: A run folder, a folder of runs, or the folder of a single result.
        out: The file to write; by default ``report.html`` in the folder.
        dataset: The measured images, for thumbnails; by default the run's.

    Returns:
        The file.

    Raises:
        MemorizationError: If the folder holds no results.
    """
    saved = Saved.read(Path(folder))
    target = Path(out) if out is not None else saved.folder / "report.html"
    page = (
        _environment().get_template("report.html.jinja").render(_page(saved, dataset))
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, target)
    return target


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lightly_memloc.report.html"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = "{:+.3f}".format
    return environment


def _page(saved: Saved, dataset: Any) -> dict[str, Any]:
    missing = ""
    if dataset is None:
        try:
            dataset = saved.open_dataset()
        except MemorizationError as error:
            missing = f"There are no thumbnails: {error}"
    unit_mem, layer_mem = saved.first(UnitMemResult), saved.first(LayerMemResult)
    atlas = None
    if unit_mem is not None and "top_images" in unit_mem.tables:
        atlas = Atlas.of(unit_mem, layer_mem)
    ranked = _ranked(saved)
    shown = [*ranked[:_GALLERY], *ranked[_GALLERY:][: -_GALLERY - 1 : -1]]
    wanted = [index for index, _, _ in shown]
    if atlas is not None:
        wanted = atlas.to_picture(wanted)
    pictures = {} if dataset is None else thumbnails(dataset, wanted)
    gallery = [Picture(name, m, pictures.get(index)) for index, name, m in shown]
    return {
        "title": saved.folder.resolve().name,
        "chart_script": Markup(chart_script()),
        "summary": Summary.of(saved),
        "sections": [_section(*named) for named in saved.results.items()]
        + [_followed(*named) for named in saved.epochs.items()],
        "most": gallery[:_GALLERY],
        "least": gallery[_GALLERY:],
        "atlas": atlas and atlas.to_dict(pictures),
        "omitted": atlas.omitted if atlas is not None else 0,
        "missing": missing,
        "config": _config(saved),
    }


def _ranked(saved: Saved) -> list[tuple[int, str, float]]:
    """Index, file name and SSLMem of the scored images, the most memorised first."""
    scored = saved.first(LayerMemResult) or saved.first(SSLMemRunsResult)
    if scored is None:
        return []
    top = scored.top_samples(len(scored.samples_to_pandas())).dropna(subset=["ssl_mem"])
    columns = (top[name].tolist() for name in ("index", "filename", "ssl_mem"))
    return list(zip(*columns, strict=True))


def _section(name: str, result: Result) -> Section:
    charts = [Chart(title, spec=spec) for title, spec in _interactive(result).items()]
    if not charts:
        charts = [_image(figure) for figure in result.figures().values()]
    title = _TITLES.get(name, name)
    return Section(name, title, finding(result), charts, result_tables(result))


def _interactive(result: Result) -> dict[str, dict[str, Any]]:
    if isinstance(result, LayerMemResult):
        return {"Memorisation along depth, 95% intervals": layer_mem_chart(result)}
    if isinstance(result, UnitMemResult):
        charts = {"Selectivity of units for single images": unit_mem_chart(result)}
        if result.has_holdout:
            title = "Do units prefer training images? 95% intervals, grey: chance"
            charts[title] = member_share_chart(result)
        return charts
    return {}


def _followed(name: str, results: list[Result]) -> Section:
    """What a callback followed in training."""
    charts = []
    if any(isinstance(result, UnitMemResult) for result in results):
        charts = [_image(plot_epochs(results))]
    return Section(f"training-{name}", f"In training: {name}", "", charts, [])


def _image(figure: Any) -> Chart:
    title = figure.axes[0].get_title()
    return Chart(title, image=f"data:image/svg+xml,{quote(to_svg(figure))}")


def _config(saved: Saved) -> list[tuple[str, str]]:
    """The run's configuration, a line a setting."""
    if saved.run is None:
        return []
    path = saved.folder / "config.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return list(_flat(document))


def _flat(document: Mapping[str, Any], prefix: str = "") -> Any:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
