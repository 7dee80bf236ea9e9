"""Writing a report: one page that opens offline."""

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.html.atlas import Atlas
from lightly_memloc.report.html.charts import chart_script
from lightly_memloc.report.html.gallery import Gallery
from lightly_memloc.report.html.section import Section
from lightly_memloc.report.html.summary import Summary
from lightly_memloc.report.html.thumbnails import thumbnails
from lightly_memloc.report.saved import Saved
from lightly_memloc.results import LayerMemResult, UnitMemResult
from lightly_memloc.runtime import replacing


def write_report(
    study: str | PathLike[str] | Saved,
    out: str | PathLike[str] | None = None,
    dataset: Any = None,
) -> Path:
    """Write one self-contained HTML page of what was measured.

    It sums up in words, shows interactive charts of layers and units, the most and the
    least memorised images, and the unit atlas: of each layer the most memorising units
    with the images that activate them most. It opens offline.

    Args:
        study: A run folder, a folder of runs, or the folder of a single result; or
            what was read of one.
        out: The file to write; by default ``report.html`` in the folder.
        dataset: The measured images, for thumbnails; by default the run's.

    Returns:
        The file.

    Raises:
        MemorizationError: If the folder holds no results.
    """
    saved = study if isinstance(study, Saved) else Saved.read(Path(study))
    target = Path(out) if out is not None else saved.folder / "report.html"
    if target.is_dir():
        raise MemorizationError(
            f"{target} is a folder. Expected a file, such as {target / 'report.html'}."
        )
    template = _environment().get_template("report.html.jinja")
    page = template.render(_page(saved, dataset))
    with replacing(target) as partial:
        # A file name may contain bytes that are not text.
        partial.write_text(page, encoding="utf-8", errors="replace")
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
    gallery, atlas = Gallery.of(saved), None
    unit_mem = saved.first(UnitMemResult)
    if unit_mem is not None and unit_mem.names_several_images:
        atlas = Atlas.of(unit_mem, saved.first(LayerMemResult))
    wanted = {image.index: image.name for image in (*gallery.most, *gallery.least)}
    if atlas is not None:
        wanted = atlas.to_picture(wanted)
    pictures = {} if dataset is None else thumbnails(dataset, wanted)
    if dataset is not None and wanted and not pictures:
        missing = "There are no thumbnails: the images are others than those measured."
    return {
        "title": saved.folder.resolve().name,
        "chart_script": Markup(chart_script()),
        "summary": Summary.of(saved),
        "sections": [
            *(Section.of(*named) for named in saved.results.items()),
            *(Section.followed(*named) for named in saved.epochs.items()),
        ],
        "gallery": gallery,
        "pictures": pictures,
        "atlas": atlas and atlas.to_dict(pictures),
        "omitted": atlas.omitted if atlas is not None else 0,
        "missing": missing,
        "config": list(_config(saved)),
    }


def _config(saved: Saved) -> Iterator[tuple[str, str]]:
    """What was measured, a line a setting: the run, or the user's own encoder."""
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
