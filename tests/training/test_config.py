import pytest
import yaml

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import TrainingConfig


def test_saved_settings_load(tmp_path):
    config = TrainingConfig.for_data("digits", epochs=7, precision="bf16-mixed")
    config.save(tmp_path / "config.yaml", "digits")
    assert TrainingConfig.load(tmp_path / "config.yaml") == (config, "digits")
    document = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert document["versions"]["lightly-memloc"] == "0.1.0"


def test_digits_have_defaults_of_their_own():
    assert TrainingConfig.for_data("digits").input_size == 16
    assert TrainingConfig.for_data("digits", input_size=24).input_size == 24
    assert TrainingConfig.for_data("digits").transform["hf_prob"] == 0
    assert TrainingConfig.for_data("folder").transform == {}


@pytest.mark.parametrize("content", ["a: [", "training: {}", "[]"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(MemorizationError, match="holds no training settings"):
        TrainingConfig.load(path)
