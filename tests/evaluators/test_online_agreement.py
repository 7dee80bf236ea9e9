from tests.benchmarks.online_agreement import agreement


def test_units_rank_as_they_do_when_measured_at_the_epochs_end():
    layers = agreement(n_images=200, epochs=15, batch_size=50)
    assert len(layers) == 8
    assert (layers["correlation"] > 0.5).all()
    assert layers["correlation"].median() > 0.75
