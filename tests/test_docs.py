import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import lightly_memloc as memloc
from lightly_memloc.cli.app import app
from lightly_memloc.functional import accuracy_change, holm_p
from lightly_memloc.report import p_value, report_of
from lightly_memloc.results import SSLMemRunsResult

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
README = DOCS.parent / "README.md"


@pytest.mark.parametrize(
    ("page", "results"),
    [
        ("cost.md", ["overhead.txt", "scale_before.txt", "scale.txt"]),
        ("online.md", ["online.txt", "online_agreement.txt"]),
    ],
)
def test_a_page_shows_the_committed_benchmarks(page, results):
    for result in results:
        printed = (RESULTS / result).read_text()
        assert printed.strip("\n") in (RESULTS / page).read_text()


@pytest.fixture(scope="module")
def demo():
    """Rows of the committed demo's layers: LayerMem, its control, and UnitMem."""
    layer_mem, unit_mem = (
        memloc.load_result(RESULTS / "demo" / name)
        for name in ("layer-mem", "unit-mem")
    )
    tables = (
        layer_mem.to_pandas(),
        layer_mem.control_to_pandas(),
        unit_mem.layers_to_pandas(),
    )
    return [table.set_index("layer") for table in tables]


def words_of(page):
    return " ".join((DOCS / page).read_text().split())


def test_what_the_first_page_says_of_the_demo(demo):
    layers, _, units = demo
    page, pool = words_of("index.md"), layers.loc["pool"]
    won = units.loc["layer3.residual"]
    others = units["member_share_p_adjusted"].drop("layer3.residual")
    for words in (
        f"In `pool` it is {pool['layer_mem']:+.3f}, and images that neither encoder saw "
        f"show an offset of {pool['external']:+.3f}.",
        f"In `pool` symmetric LayerMem is {pool['symmetric']:+.3f}, with a 95% interval "
        f"of {pool['symmetric_low']:+.3f} to {pool['symmetric_high']:+.3f}.",
        f"It is {units.loc['layer3.residual.conv1', 'mean']:.2f} in "
        "`layer3.residual.conv1`",
        f"if no image were special: {units.loc['layer3.residual.conv1', 'null']:.2f}",
        f"In `layer3.residual` it is {won['member_share']:.0%} (adj. p = "
        f"{p_value(won['member_share_p_adjusted'])}).",
        f"(the smallest adjusted p is {p_value(others.min())})",
    ):
        assert words in page
    adjusted = layers[["calibrated_p_adjusted", "symmetric_p_adjusted"]]
    assert (adjusted.iloc[:5] > 0.3).all(axis=None)
    assert (layers["symmetric"].iloc[5:] > 0).all()
    assert (layers["symmetric_p_adjusted"].iloc[5:] < 0.001).all()
    assert pool["repeats"] == "layer3.residual"


def test_the_first_page_shows_the_tables_of_units():
    console = Console(width=80, record=True, file=io.StringIO())
    for table in report_of(memloc.load_result(RESULTS / "demo/unit-mem")).tables()[:2]:
        console.print(table)
    page = (DOCS / "index.md").read_text()
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    for line in filter(None, lines):
        assert f"\n{line}\n" in page


def test_what_the_concepts_say_of_the_demo(demo):
    layers, control, units = demo
    page, head = words_of("concepts.md"), layers.loc["layer3.head.conv"]
    last, null = layers.iloc[-1], control.iloc[-1]
    unit, won = units.loc["layer3.residual.conv1"], units.loc["layer3.residual"]
    for words in (
        f"LayerMem of `layer3.head.conv` is {head['layer_mem']:+.3f}",
        f"it is {head['external']:+.3f}. The difference between the two is "
        f"{head['calibrated']:+.3f}.",
        f"it is {last['alignment_gap']:+.3f} (95% interval "
        f"{last['alignment_gap_low']:+.3f} to {last['alignment_gap_high']:+.3f}, "
        f"p = {p_value(last['alignment_gap_p'])})",
        f"has a mean UnitMem of {unit['mean']:.2f}, where {unit['null']:.2f} is to be "
        "expected if no image is special; members win "
        f"{unit['member_share']:.0%} of its units (95% interval "
        f"{unit['member_share_low']:.0%} to {unit['member_share_high']:.0%}, "
        f"p = {p_value(unit['member_share_p'])}), and the gap is {unit['gap']:+.3f} "
        f"(p = {p_value(unit['gap_p'])})",
        f"members win {won['member_share']:.0%} of the units (95% interval "
        f"{won['member_share_low']:.0%} to {won['member_share_high']:.0%}, adjusted "
        f"p = {p_value(won['member_share_p_adjusted'])})",
        f"is {null['symmetric']:+.3f} in the demo's last layer (95% interval "
        f"{null['symmetric_low']:+.3f} to {null['symmetric_high']:+.3f}, "
        f"p = {p_value(null['symmetric_p'])}). Between candidates and independent "
        f"images it is {last['symmetric']:+.3f}.",
        f"The published LayerMem of the external images is {null['layer_mem']:+.3f} "
        f"(p = {p_value(null['layer_mem_p'])})",
    ):
        assert words in page
    assert last["symmetric_p"] < 0.001
    symmetric, calibrated, gap = (
        layers[f"{name}_high"] - layers[f"{name}_low"]
        for name in ("symmetric", "calibrated", "alignment_gap")
    )
    assert (symmetric < calibrated).all()
    assert (calibrated < gap).all()


def test_the_line_of_the_first_page_runs(encoders, digits, transform):
    (code,) = re.findall(
        r"```python\n(.*?)```", (DOCS / "index.md").read_text(), flags=re.DOTALL
    )
    names = {"encoder": encoders[0], "dataset": digits, "transform": transform}
    exec(code, names | {"train": range(20), "validation": range(20, 40)})


RUNS = RESULTS / "runs"


def committed_runs(name):
    layers, runs = (pd.read_csv(RUNS / name / f"{t}.csv") for t in ("layers", "runs"))
    samples = pd.read_csv(RUNS / "digits/images.csv")
    settings = {"runs": sorted(set(runs["run"])), "top_share": 0.1}
    tables = {"layers": layers, "runs": runs, "samples": samples}
    return SSLMemRunsResult(settings, tables)


def test_the_page_of_pairs_shows_the_committed_runs():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report_of(committed_runs("digits")).tables()[0])
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert (
        "\n".join(line for line in lines if line) in (RESULTS / "runs.md").read_text()
    )


def test_the_page_of_pairs_counts_the_committed_images():
    images = pd.read_csv(RUNS / "digits/images.csv")
    assert (images["ssl_mem_q"] <= 0.1).all()
    found = images.groupby("layer").size()
    page = (RESULTS / "runs.md").read_text()
    for row in committed_runs("digits").to_pandas().to_dict("records"):
        numbers = (
            row["layer"],
            f"{found.get(row['layer'], 0)}",
            f"{row['run_correlation']:.2f}",
            f"{row['reliability']:.2f}",
            f"{row['top']:+.3f}",
        )
        assert re.search(" +".join(map(re.escape, numbers)), page)
    last = committed_runs("digits").to_pandas().iloc[-1]
    for words in (
        f"In `pool`, {found['pool']} of 1,795 images can be called memorised",
        f"correlate with {last['run_correlation']:.2f}",
        f"reliability of {last['reliability']:.2f}",
        f"has an SSLMem of {last['top']:+.3f} in the sixth",
        f"the mean of all images is {last['ssl_mem']:+.3f}",
    ):
        assert words in " ".join(page.split())


def test_the_committed_runs_show_what_the_page_says():
    result = committed_runs("digits")
    last = result.to_pandas().iloc[-1]
    assert last["runs"] == 6
    assert last["ssl_mem_low"] > 0
    assert last["shuffled_low"] < 0 < last["shuffled_high"]
    by_run = result.runs_to_pandas().pivot(
        index="run", columns="layer", values="ssl_mem"
    )
    rising = ["layer2.conv", "layer3.head.conv", "layer3.residual.conv1"]
    steps = np.diff(by_run[[*rising, "layer3.residual"]].to_numpy(), axis=1)
    assert (steps > 0).all()
    layers = result.to_pandas()
    half = (layers["layer_mem_high"] - layers["layer_mem_low"]) / 2
    assert (half > layers["ssl_mem"].abs()).sum() > len(layers) / 2


INTERVENTIONS = RESULTS / "interventions"
PAGE = (RESULTS / "interventions.md").read_text()
WORDS = words_of("results/interventions.md")


def printed(result):
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    for table in report_of(result).tables():
        console.print(table)
        console.print()
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(lines).split("\n\n")


@pytest.mark.parametrize("name", sorted(p.name for p in INTERVENTIONS.iterdir()))
def test_the_page_of_interventions_shows_the_committed_results(name):
    tables = printed(memloc.load_result(INTERVENTIONS / name))
    for table in tables:
        assert table.strip("\n") in PAGE


def said(name, first, second, words):
    """Assert that the page says by how many points the first is above the second.

    Returns the p-value of the difference.
    """
    result = memloc.load_result(INTERVENTIONS / name)
    images, trials = result.tables["images"], result.trials_to_pandas()
    by_run = trials.pivot(index="trial", columns="strategy", values="accuracy")
    before, after = (
        images.pivot(index="run", columns="index", values=strategy).to_numpy(float)
        for strategy in (second, first)
    )
    change = accuracy_change(before, after)
    assert len(by_run) == change.n == 6
    assert change.value == pytest.approx((by_run[first] - by_run[second]).mean())
    points = (f"{100 * x:.1f}" for x in (change.value, change.low, change.high))
    assert words.format(*points, p=p_value(change.p)) in WORDS
    return float(change.p)


def test_what_the_page_says_of_pruning():
    half = said(
        "prune-0.5",
        "highest",
        "lowest",
        "is {} points below that without those of the highest (95% interval {} to {}, "
        "p = {p}, paired)",
    )
    most = said(
        "prune-0.8",
        "highest",
        "lowest",
        "with four fifths {} points ({} to {}, p = {p})",
    )
    fifth = said(
        "prune-0.2", "highest", "lowest", "no difference can be detected (p = {p})"
    )
    assert (holm_p([fifth, half, most]) < 0.05).tolist() == [False, True, True]
    over_random = pd.concat(
        memloc.load_result(INTERVENTIONS / f"prune-{amount}")
        .to_pandas()
        .assign(amount=amount)
        for amount in ("0.2", "0.5", "0.8")
    ).dropna(subset="over_random_p")
    [below] = over_random[over_random["over_random_p"] < 0.05].itertuples()
    assert (below.strategy, below.amount, len(over_random)) == ("lowest", "0.5", 6)
    assert f"is larger (p = {p_value(below.over_random_p)})" in WORDS
    assert (holm_p(over_random["over_random_p"]) > 0.05).all()


def test_what_the_page_says_of_fine_tuning():
    said(
        "finetune-1",
        "most",
        "last",
        "is {} points better than the last (95% interval {} to {}, p = {p}, paired)",
    )
    said(
        "finetune-2",
        "most",
        "last",
        "are {} points better than the last two ({} to {}, p = {p})",
    )
    tuned = (
        pd.concat(
            memloc.load_result(INTERVENTIONS / f"finetune-{n}").to_pandas().assign(n=n)
            for n in (1, 2)
        )
        .set_index(["strategy", "n"])
        .sort_index()
    )
    assert (tuned.loc[["most", "last"], "over_random_p"] > 0.05).all()
    choices = tuned.drop("head")
    better = choices.index[holm_p(choices["change_p"]) < 0.05]
    assert set(better) == {("all", 1), ("all", 2), ("random", 2)}
    assert len(choices) == 8
    where = memloc.load_result(INTERVENTIONS / "finetune-2").trials_to_pandas()
    chosen = where.pivot(index="trial", columns="strategy", values="where")
    same = [
        set(a.split(", ")) == set(b.split(", "))
        for a, b in zip(chosen["most"], chosen["last"], strict=True)
    ]
    assert sum(same) == 3


def test_what_the_page_says_of_the_exchange_and_the_retraining():
    for name in ("exchange-1", "exchange-3"):
        summary = memloc.load_result(INTERVENTIONS / name).to_pandas()
        assert (summary["change_p"] > 0.05).all()
        assert not (summary["over_random_p"] < 0.05).any()
    said(
        "exchange-3",
        "most",
        "least",
        "accuracy {} points higher than exchanging the three least memorising "
        "(95% interval {} to {}, p = {p}, paired)",
    )
    said("exchange-1", "most", "least", "one layer {} points ({} to {}, p = {p})")
    curated = memloc.load_result(INTERVENTIONS / "curate")
    layers, accuracies = curated.layers_to_pandas(), curated.accuracy_to_pandas()
    assert (layers["difference_p"] > 0.05).all()
    assert accuracies["accuracy"].nunique() == 2
    assert accuracies["high"].min() > accuracies["low"].max()


def test_what_the_page_says_of_the_list():
    result = memloc.load_result(INTERVENTIONS / "curate")
    listed = result.to_pandas()
    assert (listed["q"] > 0.1).all()
    by_chance = result.settings["by_chance"]
    assert f"{len(listed)} listed images, {by_chance:.1f} are expected to" in WORDS
    last = result.layers_to_pandas().iloc[-1]
    low, high = last["removed_effect_low"], last["removed_effect_high"]
    assert f"in the last layer it is {last['removed_effect']:.3f} higher" in WORDS
    assert f"the listed images (95% interval {low:.3f} to {high:.3f})" in WORDS


def test_what_the_page_says_of_membership():
    table = memloc.load_result(INTERVENTIONS / "membership").to_pandas()
    auc, tpr = (
        {
            score: set(of["layer"][of[column] < 0.05])
            for score, of in table.groupby("score")
        }
        for column in ("auc_p_adjusted", "tpr_p_adjusted")
    )
    last = {"layer3.residual", "pool"}
    assert auc == {
        "alignment": last,
        "ssl_mem": last | {"layer3.head.conv", "layer3.residual.conv1"},
    }
    assert not set.union(*tpr.values())
    best = table.groupby("score")["auc"].max()
    assert f"in the last block (AUC {best['alignment']:.2f})" in WORDS
    assert f"(up to {best['ssl_mem']:.2f})" in WORDS


def test_what_the_page_says_of_tuned_units():
    result = memloc.load_result(INTERVENTIONS / "tune-unit")
    units, layers = result.to_pandas(), result.layers_to_pandas()
    assert (units["after"] > units["before"]).all()
    assert (layers["rise_low"] > 0).all()
    assert f"in {units['wins'].sum()} of {len(units)} units" in WORDS
    assert not units[units["layer"] == "prep.conv"]["wins"].any()
    assert result.settings["steps"] == 1600


def test_what_the_page_says_of_images_and_units():
    tables = memloc.load_result(INTERVENTIONS / "analysis").to_pandas()
    pairs = tables["consistency"].groupby("distance")[["tau", "external_tau"]].mean()
    assert pairs["tau"].loc[1] > 3 * pairs["tau"].loc[5:].max()
    assert pairs["external_tau"].loc[1] > pairs["tau"].loc[1] - 0.02
    atypical = tables["atypical"].set_index("layer")
    for name in ("difference", "external_difference"):
        assert (atypical[name].loc["layer2.conv":] > 0).all()
        p = atypical[f"{name}_p_adjusted"]
        assert (p.loc["layer2.conv":] < 0.05).all()
        assert (p.loc[:"layer1.residual"] > 0.05).all()
    assert (atypical["difference_p_adjusted"].loc["layer2.conv":] < 0.001).all()
    won = tables["atypical_units"].set_index("layer").loc["all layers"]
    assert won["units_most"] < won["units_least"]
    units_won = tables["units_won"].set_index("layer")
    assert units_won["tau"].loc["all layers"] < 0
    for name in ("tau", "difference"):
        assert not ((units_won[name] > 0) & (units_won[f"{name}_p"] < 0.05)).any()
    assert tables["unit_class"]["above"].iloc[-1] > 0.95


def test_the_commands_of_the_pages_exist():
    known = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in app.registered_commands
    }
    used = {
        command
        for page in [README, *DOCS.rglob("*.md")]
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for command in re.findall(
            r"^(?:.*; )?lightly-memloc ([a-z-]+)", block, flags=re.MULTILINE
        )
    }
    assert used <= known
    assert {"prune", "finetune", "exchange", "tune-unit", "curate", "analyze"} <= used


def test_the_page_of_pairs_shows_what_shared_seeds_do():
    own, shared = (
        committed_runs(name).to_pandas().set_index("layer")
        for name in ("own-seeds", "shared-seeds")
    )
    page = (RESULTS / "runs.md").read_text()
    for layer in own.index:
        cells = [layer]
        for table in (own, shared):
            row = table.loc[layer]
            between_runs = row["offset_error"] * np.sqrt(row["runs"])
            cells += [f"{between_runs:.3f}", f"{row['ssl_mem']:+.3f}"]
            cells += [f"{row['ssl_mem_low']:+.3f} to {row['ssl_mem_high']:+.3f}"]
        assert f"| {' | '.join(cells)} |" in page
