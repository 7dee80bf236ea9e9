import numpy as np
import pytest

from tests.report.shown import line


@pytest.mark.parametrize(
    ("name", "title", "table", "columns"),
    [
        (
            "curate",
            "layer_mem",
            "layers",
            {
                "before": "original",
                "without random images": "without_random",
                "without the most memorised": "without_memorized",
            },
        ),
        (
            "analysis of vit",
            "atypical",
            "atypical",
            {"candidates": "difference", "external images": "external_difference"},
        ),
        (
            "runs",
            "ssl_mem",
            "layers",
            {
                "published": "layer_mem",
                "with shuffled roles": "shuffled",
                "without the runs' offsets": "ssl_mem",
            },
        ),
        ("tune-unit", "unit_tuning", "layers", {"before": "before", "after": "after"}),
    ],
)
def test_a_line_shows_what_the_legend_calls_it(results, name, title, table, columns):
    result = results[name]
    figure = result.figures()[title]
    for label, column in columns.items():
        np.testing.assert_array_equal(line(figure, label), result.tables[table][column])
