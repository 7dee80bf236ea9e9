import json

import pytest

from lightly_memloc import MemorizationSplit
from tests.cli.commands import SIZES


def test_layers_lists_names_and_kinds(run):
    code, out, _ = run("layers", "--model", "torchvision.models:resnet18")
    assert code == 0
    assert "18 layers" in out
    assert "layer4.1.conv1" in out
    code, out, _ = run(
        "layers", "--model", "torchvision.models:vit_b_16", "--layers", "attention"
    )
    assert out.count("self_attention") == 12


def test_split_writes_roles(run, images, tmp_path):
    code, out, _ = run("split", images, "--out", tmp_path / "s.json", *SIZES)
    assert code == 0
    assert "16 shared, 8 candidate, 8 independent, 8 external" in out
    assert MemorizationSplit.load(tmp_path / "s.json").n == 40


def test_layers_as_json_tells_what_is_measured_of_each(run):
    code, out, _ = run("layers", "--model", "torchvision.models:resnet18", "--json")
    assert code == 0
    layers = json.loads(out)
    assert len(layers) == 18
    assert layers[-1] == {
        "layer": "avgpool",
        "kind": "pool",
        "state": True,
        "units": False,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("split", "digits", "--candidate", "2000"), "Cannot take 2000 candidate"),
        (("layers", "--model", "torchvision.models:resnet1"), "Cannot find the model"),
        (("layers", "--model", "json:dumps"), "json:dumps"),
        (("layers",), "either a run folder or --model"),
    ],
)
def test_errors(refused, arguments, message):
    refused(arguments, message, {})
