from lightly_memloc.training import TrainingConfig


def test_digits_have_defaults_of_their_own():
    assert TrainingConfig.for_data("digits").input_size == 16
    assert TrainingConfig.for_data("digits", input_size=24).input_size == 24
    assert TrainingConfig.for_data("digits").transform["hf_prob"] == 0
    assert TrainingConfig.for_data("folder").transform == {}
