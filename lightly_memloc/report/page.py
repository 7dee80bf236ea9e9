"""The page: one HTML file that opens offline and joins what was measured."""

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.atlas import Atlas
from lightly_memloc.report.depth import draw_depth
from lightly_memloc.report.images import Gallery, thumbnails
from lightly_memloc.report.report import Report
from lightly_memloc.report.saved import Saved
from lightly_memloc.report.summary import Summary
from lightly_memloc.report.svg import to_svg
from lightly_memloc.report.tables import Table
from lightly_memloc.report.unit_mem import plot_epochs
from lightly_memloc.results import LayerMemResult, Result, UnitMemResult
from lightly_memloc.runtime.files import replacing
from lightly_memloc.runtime.printable import printable

_DEPTH = (
    "Bands are 95% intervals of each layer by itself. Bars are intervals that contain the "
    "true values of all layers at once with a confidence of 95%."
)


def write_report(
    study: str | PathLike[str] | Saved,
    out: str | PathLike[str] | None = None,
    dataset: Any = None,
) -> Path:
    """Write one self-contained HTML page of what was measured.

    It contains a summary in words, charts and tables of each result, the most and the
    least memorised images, and the unit atlas: the most memorising units of each layer
    with the images that activate them most. It opens offline.

    Args:
        study: A run folder, a folder of runs, or the folder of a single result; or
            what was read from one.
        out: The file to write; by default ``report.html`` in the folder.
        dataset: The measured images, for thumbnails; by default the run's.

    Returns:
        The file.

    Raises:
        MemorizationError: If the folder contains no results, or the images given are
            not those that were measured.
    """
    saved = study if isinstance(study, Saved) else Saved.read(Path(study))
    target = Path(out) if out is not None else saved.folder / "report.html"
    template = _environment().get_template("report.html.jinja")
    page = template.render(_page(saved, dataset))
    with replacing(target) as partial:
        # A file name may contain bytes that are not text.
        partial.write_text(page, encoding="utf-8", errors="replace")
    return target


@dataclass(frozen=True)
class Chart:
    """A figure on the page.

    Attributes:
        title: What it shows.
        svg: The drawing.
    """

    title: str
    svg: Markup

    @property
    def has_marks(self) -> bool:
        """Whether it has marks to focus; without, the chart itself can be."""
        return '<g class="marks"' in self.svg

    @classmethod
    def of(cls, figure: Figure, salt: str) -> "Chart":
        """Draw a figure without its title, which the page shows as a heading.

        Args:
            figure: The figure.
            salt: Makes its ids differ from those of the other charts on the page.
        """
        axes = figure.axes[0]
        title = axes.get_title()
        axes.set_title("")
        drawing = to_svg(figure, salt)
        axes.set_title(title)
        # Groups of several charts have the same ids, to which nothing refers.
        drawing = re.sub(r'<g id="[^"]*"', "<g", drawing[drawing.index("<svg") :])
        return cls(title, Markup(drawing))


@dataclass(frozen=True)
class Section:
    """What the page shows of a result, or of what a callback measured in training.

    Attributes:
        name: The name of the result's folder.
        title: What it is about.
        words: What it shows, in words.
        charts: Its figures.
        tables: Its tables.
    """

    name: str
    title: str
    words: str
    charts: list[Chart]
    tables: list[Table]


def _sections(saved: Saved) -> Iterator[Section]:
    depth = draw_depth(saved)
    if depth is not None:
        chart = Chart.of(depth, "along-depth")
        yield Section("along-depth", "Along depth", _DEPTH, [chart], [])
    titles = Counter(report.title for report in saved.reports.values())
    for name, report in saved.reports.items():
        title = f"{report.title} ({name})" if titles[report.title] > 1 else report.title
        yield Section(
            name, title, report.words(), list(_charts(name, report)), report.tables()
        )
    for name, results in saved.epochs.items():
        words, charts = "", list[Chart]()
        try:
            charts = _followed(name, results)
        except MemorizationError as error:
            words = str(error)
        yield Section(f"training-{name}", f"In training: {name}", words, charts, [])


def _charts(section: str, report: Report[Any]) -> Iterator[Chart]:
    for name, figure in report.figures().items():
        yield Chart.of(figure, f"{section}/{name}")


def _followed(callback: str, results: Iterable[Result]) -> list[Chart]:
    """What a callback measured, over epochs."""
    unit_mem = [result for result in results if isinstance(result, UnitMemResult)]
    if not unit_mem:
        return []
    return [Chart.of(plot_epochs(unit_mem)[0], f"training/{callback}")]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lightly_memloc.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = "{:+.3f}".format
    return environment


def _shown(value: Any) -> Any:
    """Show names on their line; the page's own markup stays as it is."""
    return printable(value) if type(value) is str else value


def _page(saved: Saved, dataset: Any) -> dict[str, Any]:
    missing = ""
    if dataset is not None:
        saved.refuse_other_images(dataset)
    else:
        try:
            dataset = saved.open_dataset()
            saved.refuse_other_images(dataset)
        except MemorizationError as error:
            dataset, missing = None, f"There are no thumbnails: {error}"
    gallery, atlas = Gallery.of(saved), None
    unit_mem = saved.first(UnitMemResult)
    if unit_mem is not None and unit_mem.names_several_images:
        atlas = Atlas.of(unit_mem, saved.first(LayerMemResult))
    wanted = {image.index: image.name for image in (*gallery.most, *gallery.least)}
    if atlas is not None:
        wanted = atlas.to_picture(wanted)
    pictures = {} if dataset is None else thumbnails(dataset, wanted)
    if dataset is not None and wanted and not pictures:
        missing = (
            "There are no thumbnails: the images are not those that were measured."
        )
    return {
        "title": _title(saved),
        "summary": Summary.of(saved),
        "sections": list(_sections(saved)),
        "gallery": gallery,
        "pictures": pictures,
        "atlas": atlas and atlas.to_dict(pictures),
        "omitted": atlas.omitted if atlas is not None else 0,
        "missing": missing,
        "views": _views(saved),
        "config": list(_config(saved)),
    }


def _title(saved: Saved) -> str:
    """What was measured, in a word: the checkpoint, or else the folder."""
    name = saved.folder.resolve().name
    checkpoint = saved.source.get("checkpoint")
    return name if checkpoint is None else f"{Path(checkpoint).name} ({name})"


def _views(saved: Saved) -> str:
    """The picture of what the encoder saw, as a data URI; empty if there is none."""
    folders = [saved.folder, *(saved.folder / name for name in saved.results)]
    pictures = (folder / "views.png" for folder in folders)
    found = next(filter(Path.is_file, pictures), None)
    if found is None:
        return ""
    return f"data:image/png;base64,{base64.b64encode(found.read_bytes()).decode()}"


def _config(saved: Saved) -> Iterator[tuple[str, str]]:
    """What was measured, one line per setting: the run, or the custom encoder."""
    if saved.run is None:
        yield from saved.source.items()
        return
    path = saved.folder / "config.yaml"
    yield from _flat(yaml.safe_load(path.read_text(encoding="utf-8")))


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
