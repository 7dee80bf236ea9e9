import pytest

from lightly_memloc import MemorizationSplit
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import Run, Runs, TrainingConfig


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


CONFIG = """
data: {source: digits, images: 1797, fingerprint: abc}
training: {method: simclr, epochs: 3}
versions: {torch: '2'}
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "data: {",
        "data: {source: digits}",
        "training: {}",
        CONFIG.replace("{method: simclr, epochs: 3}", "[]"),
        CONFIG.replace("{method: simclr, epochs: 3}", "null"),
        CONFIG.replace("{source: digits, images: 1797, fingerprint: abc}", "null"),
        CONFIG.replace("epochs: 3", "epochs: many"),
        CONFIG.replace("epochs: 3", "epochs: 0"),
        CONFIG.replace("epochs: 3", "learning_rate: -.inf"),
        CONFIG.replace("epochs: 3", "transform: 3"),
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_configurations_that_cannot_be_read_are_named(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    MemorizationSplit(4).save(tmp_path / "split.json")
    with pytest.raises(MemorizationError, match=r"config\.yaml"):
        Run(tmp_path)


def test_a_configuration_may_have_more_or_less_than_now(tmp_path):
    text = CONFIG.replace("epochs: 3", "unknown: 3") + "later: true\n"
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    MemorizationSplit(4).save(tmp_path / "split.json")
    run = Run(tmp_path)
    assert (run.data, run.config) == ("digits", TrainingConfig())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"runs": "2"}', '{"runs": 0}', "NaN"]
)
def test_folders_of_runs_that_cannot_be_read(tmp_path, text):
    (tmp_path / "runs.json").write_text(text, encoding="utf-8")
    with pytest.raises(MemorizationError, match="is no folder of runs"):
        Runs(tmp_path)
