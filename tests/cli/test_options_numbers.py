"""Numeric options are refused before work begins."""

import pytest

NUMBERS = ["nan", "inf", "-inf", "-1", "0"]
FRACTIONS = [
    ("train", "missing", "--out", "x", "--learning-rate"),
    ("finetune", "missing", "--learning-rate"),
    ("tune-unit", "missing", "--learning-rate"),
    ("prune", "missing", "--amount"),
    ("curate", "missing", "--amount"),
    ("curate", "missing", "--top-k"),
    ("curate", "missing", "--fdr"),
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("command", FRACTIONS, ids=" ".join)
def test_fractions(run, command, number):
    """The data do not exist: the number is looked at first."""
    code, out, err = run(*command[:-1], f"{command[-1]}={number}")
    assert (code, out) == (2, "")
    assert "to be a finite number above 0, got" in " ".join(err.split())


WHOLE = [
    ("train", "--epochs"),
    ("train", "--batch-size"),
    ("train", "--input-size"),
    ("train", "--seed"),
    ("train", "--num-workers"),
    ("train", "--devices"),
    ("train", "--runs"),
    ("train", "--candidate"),
    ("layer-mem", "--views"),
    ("layer-mem", "--batch-size"),
    ("unit-mem", "--seed"),
    ("finetune", "--epochs"),
    ("finetune", "--trials"),
    ("finetune", "--n-layers"),
    ("tune-unit", "--steps"),
    ("tune-unit", "--n-units"),
    ("analyze", "--top-k"),
]


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1.5", "1e99"])
@pytest.mark.parametrize(("command", "option"), WHOLE)
def test_whole_numbers(run, command, option, number):
    out_folder = ("--out", "x") if command == "train" else ()
    code, out, err = run(command, "missing", *out_folder, f"{option}={number}")
    assert (code, out) == (2, "")
    assert f"Invalid value for '{option}'" in err


@pytest.mark.parametrize("command", ["train", "layer-mem", "split"])
def test_seeds_beyond_what_generators_take(run, command):
    out_folder = ("--out", "x") if command == "train" else ()
    code, _, err = run(command, "missing", *out_folder, f"--seed={2**32}")
    assert code == 2
    assert "Expected --seed to be" in err
