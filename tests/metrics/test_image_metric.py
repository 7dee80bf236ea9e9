"""The metrics as others of torchmetrics: in collections, in Lightning and in plots."""

import pickle

import matplotlib as mpl
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from lightly_memloc import AlignmentDistance, ClassMem, UnitMem, functional
from lightly_memloc.metrics import MemberShare, TopImages

N_IMAGES, N_UNITS, N_CLASSES, DEAD = 23, 5, 3, 2
METRICS = {
    "unit_mem": lambda **options: UnitMem(N_UNITS, **options),
    "unit_mem_median": lambda **options: UnitMem(N_UNITS, "median", **options),
    "class_mem": lambda **options: ClassMem(N_UNITS, N_CLASSES, **options),
    "alignment_distance": AlignmentDistance,
}


@pytest.fixture(autouse=True)
def _no_display():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def images():
    """Batches as keyword arguments: one dead unit and indices with gaps."""
    generator = torch.Generator().manual_seed(0)
    mu = torch.rand(N_IMAGES, N_UNITS, generator=generator, dtype=torch.float64)
    mu[:, DEAD] = 0
    return {
        "mu": mu,
        "targets": torch.arange(N_IMAGES) % N_CLASSES,
        "index": 3 * torch.randperm(N_IMAGES, generator=generator),
        "views": torch.randn(N_IMAGES, 4, 6, generator=generator, dtype=torch.float64),
    }


def batches(size=5):
    """Batches of images; the last one has fewer."""
    inputs = images()
    for batch in torch.arange(N_IMAGES).split(size):
        yield {name: values[batch] for name, values in inputs.items()}


def expected():
    """The values of each metric by the definitions, over all images at once."""
    inputs = images()
    mu, order = inputs["mu"], inputs["index"].argsort()
    return {
        "unit_mem": functional.unit_mem(mu),
        "unit_mem_median": functional.unit_mem(mu, "median"),
        "class_mem": functional.class_mem(mu, inputs["targets"]),
        "alignment_distance": functional.alignment_distance(inputs["views"])[order],
    }


def live(name, values):
    values = values.numpy()
    return values if name == "alignment_distance" else np.delete(values, DEAD)


def filtered(metric, batch):
    return metric._filter_kwargs(**batch)


def updated(name, **options):
    metric = METRICS[name](**options)
    for batch in batches():
        metric.update(**filtered(metric, batch))
    return metric


@pytest.mark.parametrize("name", METRICS)
def test_values_by_name(name):
    metric = updated(name)
    values = metric.compute()
    assert all(isinstance(value, torch.Tensor) for value in values.values())
    np.testing.assert_allclose(
        values[metric.value_name], expected()[name], rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("name", METRICS)
def test_average_over_live_units_or_images(name):
    mean = updated(name, average="mean").compute()
    assert mean.shape == ()
    assert mean.item() == pytest.approx(live(name, expected()[name]).mean(), rel=1e-12)


def test_average_of_dead_units_alone_is_not_a_number():
    metric = UnitMem(2, average="mean")
    metric.update(torch.zeros(3, 2), torch.arange(3))
    assert metric.compute().isnan()


@pytest.mark.parametrize("name", METRICS)
def test_unknown_average(name):
    with pytest.raises(ValueError, match="'mean' or None, got 'macro'"):
        METRICS[name](average="macro")


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: TopImages(2, 1, **options),
        lambda **options: MemberShare(2, [0], [1], **options),
    ],
)
def test_counts_have_neither_average_nor_plot(make):
    with pytest.raises(ValueError, match="average"):
        make(average="mean")
    with pytest.raises(NotImplementedError, match="no values to plot"):
        make().plot()


def test_collection_of_dictionaries():
    collection = MetricCollection({name: make() for name, make in METRICS.items()})
    for batch in batches():
        collection.update(**batch)
    values = collection.compute()
    for name, make in METRICS.items():
        # torchmetrics prefixes the fields of a metric where several share a name.
        np.testing.assert_allclose(
            values[f"{name}_{make().value_name}"],
            expected()[name],
            rtol=1e-12,
            atol=1e-15,
        )
    assert values["class_mem_dead"].tolist() == [u == DEAD for u in range(N_UNITS)]


def test_collection_of_scalars_with_prefix():
    collection = MetricCollection(
        {name: make(average="mean") for name, make in METRICS.items()},
        prefix="val/",
    )
    for batch in batches():
        collection.update(**batch)
    assert {name: value.item() for name, value in collection.compute().items()} == {
        f"val/{name}": pytest.approx(live(name, values).mean(), rel=1e-12)
        for name, values in expected().items()
    }


def test_collection_gives_the_values_of_each_batch():
    collection = MetricCollection({name: make() for name, make in METRICS.items()})
    for batch in batches():
        values = collection(**batch)
        np.testing.assert_allclose(
            values["unit_mem_median_unit_mem"],
            functional.unit_mem(batch["mu"], "median"),
            rtol=1e-12,
            atol=1e-15,
        )
        np.testing.assert_allclose(
            values["class_mem_class_mem"],
            functional.class_mem(batch["mu"], batch["targets"]),
            rtol=1e-12,
        )
    for name, make in METRICS.items():
        actual = collection.compute()[f"{name}_{make().value_name}"]
        np.testing.assert_allclose(actual, expected()[name], rtol=1e-12, atol=1e-15)


def first_equal(*metrics):
    """A collection updated with batches of which the first gives equal rows.

    Two views of length one have one distance however pairs and norms are chosen, and
    the images of the first batch belong to no mix.
    """
    collection = MetricCollection(dict(zip("ab", metrics, strict=True)))
    generator = torch.Generator().manual_seed(2)
    for n_views in (2, 3, 3):
        views = torch.randn(4, n_views, 5, generator=generator, dtype=torch.float64)
        if n_views == 2:
            views = torch.nn.functional.one_hot(views.argmax(2), 5).double()
        collection.update(
            mu=torch.rand(4, N_UNITS, generator=generator, dtype=torch.float64),
            index=torch.arange(4) + 10 * n_views + collection["a"].update_count,
            views=views,
        )
    return collection


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: UnitMem(N_UNITS), lambda: UnitMem(N_UNITS, "median")),
        (AlignmentDistance, lambda: AlignmentDistance(pairs="anchor")),
        (AlignmentDistance, lambda: AlignmentDistance(normalize=False)),
        (
            lambda: MemberShare(N_UNITS, [31, 32], [33, 34]),
            lambda: MemberShare(N_UNITS, [33, 31], [32, 34]),
        ),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_metrics_of_different_settings_are_updated_apart(first, second, swapped):
    if swapped:
        first, second = second, first
    together = first_equal(first(), second())
    assert len(together.compute_groups) == 2
    for name, make in zip("ab", (first, second), strict=True):
        alone = first_equal(make(), make())["a"].compute()
        for field, value in together[name].compute().items():
            np.testing.assert_array_equal(value, alone[field])


def test_metrics_of_different_sizes_are_updated_apart():
    few, many = torch.eye(4)[:, :2], torch.eye(4)
    metrics = MetricCollection({"tops": TopImages(2, 1), "top": TopImages(2, 2)})
    metrics.update(few, torch.arange(4))
    assert len(metrics.compute_groups) == 2
    with pytest.raises(ValueError, match=r"shape \('B', 2\)"):
        MetricCollection({"few": UnitMem(2), "many": UnitMem(4)}).update(
            many, torch.arange(4)
        )


def test_metrics_of_equal_settings_are_updated_once():
    collection = MetricCollection(
        {"units": UnitMem(N_UNITS), "layer": UnitMem(N_UNITS, average="mean")}
    )
    for batch in batches():
        collection.update(**batch)
    assert len(collection.compute_groups) == 1
    values = collection.compute()
    assert values["layer"].item() == pytest.approx(
        live("unit_mem", expected()["unit_mem"]).mean(), rel=1e-12
    )


class Logging(pl.LightningModule):
    """A module that logs a metric of its own and a collection."""

    def __init__(self):
        super().__init__()
        self.unit_mem = UnitMem(N_UNITS, average="mean")
        self.others = MetricCollection(
            {
                name: make(average="mean")
                for name, make in METRICS.items()
                if name != "unit_mem"
            }
        )

    def validation_step(self, batch, batch_idx):
        inputs = dict(zip(images(), batch, strict=True))
        self.unit_mem(inputs["mu"], inputs["index"])
        self.log("unit_mem", self.unit_mem)
        self.others.update(**inputs)
        self.log_dict(self.others)


@pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning")
def test_logged_by_lightning():
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Logging()
    loader = DataLoader(TensorDataset(*images().values()), batch_size=5)
    # Metrics are reset between epochs: the second one must give the same.
    for _ in range(2):
        (logged,) = trainer.validate(module, loader, verbose=False)
        assert logged == {
            name: pytest.approx(live(name, values).mean(), rel=1e-6)
            for name, values in expected().items()
        }


@pytest.mark.parametrize(
    "copy",
    [lambda metric: metric.clone(), lambda metric: pickle.loads(pickle.dumps(metric))],
)
@pytest.mark.parametrize("name", METRICS)
def test_copies_go_their_own_ways(copy, name):
    first, *others = batches(8)
    original = METRICS[name]()
    original.update(**filtered(original, first))
    copied = copy(original)
    for batch in others:
        copied.update(**filtered(copied, batch))
    original.reset()
    np.testing.assert_allclose(
        copied.compute()[copied.value_name],
        expected()[name],
        rtol=1e-12,
        atol=1e-15,
    )
    original.update(**filtered(original, first))
    assert len(original._seen()) == 8


@pytest.mark.parametrize("name", METRICS)
def test_state_dict_resumes(name):
    first, *others = batches()
    metric, resumed = METRICS[name](), METRICS[name]()
    metric.persistent(True)
    metric.update(**filtered(metric, first))
    resumed.load_state_dict(metric.state_dict())
    for batch in others:
        resumed.update(**filtered(resumed, batch))
    np.testing.assert_allclose(
        resumed.compute()[resumed.value_name],
        expected()[name],
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize("name", METRICS)
def test_values_are_plotted_in_descending_order(name):
    metric = updated(name)
    figure, ax = metric.plot()
    assert ax in figure.axes
    (line,) = ax.get_lines()
    ranked = sorted(live(name, expected()[name]), reverse=True)
    np.testing.assert_allclose(line.get_ydata(), ranked, rtol=1e-12)
    assert list(line.get_xdata()) == list(range(1, len(ranked) + 1))
    assert ax.get_ylabel() == type(metric).__name__


def test_plot_on_given_axes():
    figure, (left, right) = plt.subplots(1, 2)
    metric = updated("unit_mem")
    assert metric.plot(ax=right) == (figure, right)
    assert metric.plot(metric.compute(), ax=right) == (figure, right)
    assert (len(left.get_lines()), len(right.get_lines())) == (0, 2)
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("average", [None, "mean"])
def test_results_over_time_are_plotted_as_means(average):
    metric = UnitMem(2, average=average)
    results = []
    for largest in (3.0, 7.0, 1.0):
        metric.reset()
        metric.update(torch.tensor([[largest, 0.0], [1.0, 0.0]]), torch.arange(2))
        results.append(metric.compute())
    _, ax = metric.plot(results)
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_ydata(), [0.5, 0.75, 0.0], rtol=1e-12)
    assert ax.get_xlabel() == "Step"


def test_a_mean_is_plotted_as_one_point():
    metric = updated("class_mem", average="mean")
    _, ax = metric.plot()
    (line,) = ax.get_lines()
    mean = live("class_mem", expected()["class_mem"]).mean()
    np.testing.assert_allclose(line.get_ydata(), [mean], rtol=1e-12)


def test_collection_of_means_is_plotted():
    collection = MetricCollection(
        {name: make(average="mean") for name, make in METRICS.items()}
    )
    for batch in batches():
        collection.update(**batch)
    plots = collection.plot()
    drawn = [ax.get_lines()[0].get_ydata()[0] for _, ax in plots]
    means = [live(name, values).mean() for name, values in expected().items()]
    np.testing.assert_allclose(sorted(drawn), sorted(means), rtol=1e-12)
