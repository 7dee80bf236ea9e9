import json

import numpy as np
import pytest

from lightly_memloc.runtime import not_finite, plain, to_json

NAN, INFINITE = float("nan"), float("inf")
DOCUMENT = {
    "a": [1, NAN, {"b": -INFINITE}],
    "c": np.array([[1.5, np.inf]]),
    "d": np.float32("nan"),
    "e": (True, None, "NaN"),
}


def test_what_is_not_finite_is_null():
    read = json.loads(to_json(DOCUMENT), parse_constant=pytest.fail)
    assert read == {
        "a": [1, None, {"b": None}],
        "c": [[1.5, None]],
        "d": None,
        "e": [True, None, "NaN"],
    }


def test_places_of_what_is_not_finite():
    assert not_finite(DOCUMENT) == ["a", "a.b", "c", "d"]
    assert not_finite(DOCUMENT, "settings") == [
        "settings.a",
        "settings.a.b",
        "settings.c",
        "settings.d",
    ]
    assert not_finite({"a": 1, "b": ["NaN"]}) == []


def test_other_values_are_as_json_writes_them():
    document = {"name": "ä\n", "rows": [[1, 2.5, "x"], []], "none": None}
    assert to_json(document) == json.dumps(document)
    assert to_json(document, indent=1) == json.dumps(document, indent=1)


def test_values_that_json_does_not_have():
    with pytest.raises(TypeError, match="set cannot be saved as JSON"):
        plain({"a": {1}})
