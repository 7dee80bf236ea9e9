"""Tables of the most memorised images, and of training without them."""

from lightly_memloc.report.tables.accuracy import ACCURACY
from lightly_memloc.report.tables.build import (
    Field,
    interval,
    make_table,
    number,
    p_of,
    text,
)
from lightly_memloc.report.tables.formats import p_value, signed
from lightly_memloc.report.tables.result_tables import result_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import CurationResult


@result_tables.register
def curation_tables(result: CurationResult) -> list[Table]:
    """Make the table of images, and those of the encoders trained without them."""
    settings = result.settings
    listed = min(settings["number"], 10)
    images = make_table(
        f"The most memorised images by {settings['layer']} ({listed} of "
        f"{settings['number']} listed, of {settings['scored']} scored)",
        result.to_pandas().head(10),
        [
            text("filename", "file name"),
            text("role"),
            number("ssl_mem", signed, "SSLMem"),
            Field("p", ("p",), p_value),
        ],
    )
    return [images, *_retrained(result)] if result.is_retrained else [images]


def _retrained(result: CurationResult) -> list[Table]:
    counts = result.settings["images"]
    return [
        make_table(
            f"Accuracy on {counts['external']} images",
            result.accuracy_to_pandas(),
            [text("encoder"), *ACCURACY],
        ),
        make_table(
            f"Their calibrated LayerMem over {counts['compared']} candidates that all "
            "learned",
            result.layers_to_pandas(),
            [
                text("layer"),
                number("original", signed, "before"),
                number("without_memorized", signed, "without"),
                number("without_random", signed, "random"),
                number("difference", signed),
                interval("difference"),
                p_of("difference"),
            ],
        ),
    ]
