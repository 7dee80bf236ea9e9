import pytest

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import Run, TrainingConfig


def test_digits_have_defaults_of_their_own():
    assert TrainingConfig.for_data("digits").input_size == 16
    assert TrainingConfig.for_data("digits", input_size=24).input_size == 24
    assert TrainingConfig.for_data("digits").transform["hf_prob"] == 0
    assert TrainingConfig.for_data("folder").transform == {}


@pytest.mark.parametrize(
    ("setting", "number"),
    [
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", 0),
        ("epochs", 0),
        ("epochs", 1.5),
        ("batch_size", 1),
        ("input_size", 0),
        ("seed", -1),
        ("num_workers", -1),
        ("devices", 0),
    ],
)
def test_settings_have_bounds(setting, number):
    with pytest.raises(MemorizationError, match=f"Expected {setting} to be"):
        TrainingConfig(**{setting: number})


def test_settings_out_of_bounds_in_a_run_folder_name_the_file(tmp_path):
    text = "data: {source: digits}\ntraining: {learning_rate: .nan}\n"
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(MemorizationError, match=r"config\.yaml .*learning_rate"):
        Run(tmp_path)
