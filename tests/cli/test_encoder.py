import json
import re

import pandas as pd
import pytest
import torch

from tests.cli.commands import OWN


def test_an_encoder_of_ones_own(run, images, trained, tmp_path):
    weights = torch.load(trained / "f.ckpt", weights_only=True)
    torch.save(weights, tmp_path / "mine.pt")
    split = trained / "split.json"
    arguments = [*OWN, "--checkpoint", tmp_path / "mine.pt"]
    arguments += ["--input-size", 16, "--views", 2]
    code, out, err = run("layer-mem", images, *arguments, "--split", split, "--json")
    assert code == 0, err
    own = json.loads(out)["tables"]["layers"]
    rows = pd.DataFrame(own["rows"], columns=own["columns"])
    assert rows["alignment_gap"].notna().all()
    assert rows["layer_mem"].isna().all()
    code, out, _ = run("unit-mem", images, *arguments, "--out", tmp_path / "unit")
    assert code == 0
    assert (tmp_path / "unit" / "unit_mem.png").is_file()


def test_a_checkpoint_that_has_to_be_asked_for(run, images, trained, tmp_path):
    weights = torch.load(trained / "f.ckpt", weights_only=True)["state_dict"]
    torch.save(
        {
            f"{encoder}.{name}": value
            for encoder in ("one", "two")
            for name, value in weights.items()
            if name.startswith("backbone.")
        },
        tmp_path / "two.pt",
    )
    arguments = ["unit-mem", images, *OWN, "--checkpoint", tmp_path / "two.pt"]
    arguments += ["--input-size", 16, "--views", 2]
    code, _, err = run(*arguments)
    assert code == 2
    assert "--prefix" in err
    assert run(*arguments, "--prefix", "two.backbone.")[0] == 0


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_warnings_are_told_in_their_own_words(run, images, trained, tmp_path):
    weights = torch.load(trained / "f.ckpt", weights_only=True)["state_dict"]
    weights["backbone.extra"] = weights.pop("backbone.prep.conv.weight")
    torch.save(weights, tmp_path / "part.pt")
    arguments = ["unit-mem", images, *OWN, "--checkpoint", tmp_path / "part.pt"]
    arguments += ["--input-size", 16, "--views", 2, "--allow-partial"]
    code, _, err = run(*arguments)
    assert code == 0
    assert err.startswith("Warning: ")
    assert "Missing: prep.conv.weight. Unexpected: extra." in " ".join(err.split())
    assert ".py" not in err
    code, out, _ = run(*arguments, "--json")
    (note,) = json.loads(out)["settings"]["notes"]
    assert re.match(r"The checkpoint has 9\d% of the encoder's tensors", note)
    assert note.endswith(": prep.conv.weight.")
    code, _, err = run(*arguments, "--partial-share", 0.99)
    assert code == 2
    assert "at least 99% are expected" in " ".join(err.split())
