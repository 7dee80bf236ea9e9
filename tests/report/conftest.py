import numpy as np
import pytest
from PIL import Image

from lightly_memloc import (
    MemorizationSplit,
    load_result,
    measure_class_mem,
    measure_unit_mem,
)
from lightly_memloc.data import open_dataset
from lightly_memloc.estimation import analyze, combine_runs, infer_membership
from lightly_memloc.evaluators import measure_layer_mem
from lightly_memloc.probes import ProbeTask, measure_probes
from lightly_memloc.report import write_report
from lightly_memloc.training import Run, TrainingConfig
from tests.report.shown import (
    CLASS,
    COMMITTED,
    HOSTILE,
    RESNET,
    VIT,
    Opened,
    layer_mem_of,
)


@pytest.fixture(scope="module")
def unit_results():
    from torchvision import transforms

    from lightly_memloc.data import Digits
    from lightly_memloc.training import ResNet9

    transform = transforms.Compose(
        [transforms.RandomResizedCrop(16, antialias=True), transforms.ToTensor()]
    )
    encoder, images = ResNet9(width=4), np.arange(0, 24, 2)
    unit_mem = measure_unit_mem(
        encoder, Digits(), transform, images, images + 1, n_views=2
    )
    class_mem = measure_class_mem(encoder, Digits(), transform, images, n_views=2)
    plain = transforms.Compose([transforms.Resize(16), transforms.ToTensor()])
    task = ProbeTask(Digits(), range(40), range(40, 60), plain)
    probes = measure_probes({"f": encoder, "g": ResNet9(width=4)}, task, ["knn"])
    return {
        "unit-mem": unit_mem,
        "class-mem": class_mem,
        "probe": probes,
        "units and classes": analyze(None, unit_mem, class_mem),
    }


@pytest.fixture(scope="module")
def results(unit_results):
    """A result of each kind, those of the documentation among them."""
    committed = {
        path.name: load_result(path)
        for path in sorted((COMMITTED / "interventions").iterdir())
    }
    vit = layer_mem_of(VIT)
    runs = {f"run-{k}": layer_mem_of(RESNET, seed=k) for k in range(3)}
    return {
        **committed,
        **unit_results,
        "resnet": layer_mem_of(RESNET),
        "vit": vit,
        "alignment gap": layer_mem_of(VIT, reference=False),
        "membership of vit": infer_membership(vit),
        "analysis of vit": analyze(vit),
        "runs": combine_runs(runs, {}, 0),
        "two runs": combine_runs(
            {name: runs[name] for name in ("run-0", "run-1")}, {}, 0
        ),
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on images in folders, one of them with a hostile name."""
    folder = tmp_path_factory.mktemp("study")
    images, rng = folder / "images" / CLASS, np.random.default_rng(0)
    images.mkdir(parents=True)
    for number in range(48):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number:02d}.png")
    # One that dominates: it activates many units most.
    Image.new("RGB", (20, 20), "white").save(images / HOSTILE)
    source = str(folder / "images")
    dataset = open_dataset(source)
    hostile = next(i for i in range(len(dataset)) if HOSTILE in dataset[i][2])
    rest = [i for i in range(len(dataset)) if i != hostile]
    split = MemorizationSplit(
        len(dataset),
        shared=np.array(rest[:12]),
        candidate=np.sort([hostile, *rest[12:24]]),
        independent=np.array(rest[24:36]),
        external=np.array(rest[36:]),
    )
    config = TrainingConfig.for_data(
        source, backbone="resnet9-slim", epochs=1, batch_size=8, input_size=16
    )
    study = Run.train(
        folder / "run", source, split, config, callbacks=["online_unit_mem"]
    )
    f, transform = study.encoder("f"), study.transform()
    measure_layer_mem(f, study.encoder("g"), dataset, split, transform, n_views=2).save(
        study.folder / "layer-mem"
    )
    measure_unit_mem(
        f, dataset, transform, split.candidate, split.external, n_views=2
    ).save(study.folder / "unit-mem")
    return study.folder


@pytest.fixture(scope="module")
def page_file(run):
    return write_report(run)


@pytest.fixture
def opened(browser, page_file):
    page = Opened(browser, page_file)
    yield page
    page.page.close()
