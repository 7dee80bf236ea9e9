import re
import shutil

import numpy as np
import pandas as pd
import pytest
from claims import CLAIMS, DECIDES
from page import render, render_committed
from tables import estimates, verdicts

pytestmark = pytest.mark.slow

N_PAIRS = 8


def write(folder, effects):
    """Write the tables that follow from effects."""
    effects.to_csv(folder / "effects.csv", index=False)
    table = estimates(effects)
    table.to_csv(folder / "estimates.csv", index=False)
    verdicts(table).to_csv(folder / "verdicts.csv", index=False)


def shifted(effects, by, **where):
    """Add a number to the effects of some rows."""
    chosen = np.logical_and.reduce([effects[of] == where[of] for of in where])
    assert chosen.any()
    return effects.assign(value=effects["value"] + by * chosen)


@pytest.fixture(scope="module")
def noise(out):
    """Effects of eight pairs without any effect."""
    keys = ["claim", "effect", "estimator", "subject"]
    effects = pd.read_csv(out / "results" / "effects.csv")[keys].drop_duplicates()
    rng = np.random.default_rng(0)
    return pd.concat(
        effects.assign(pair=pair, value=rng.normal(size=len(effects)))
        for pair in range(1, N_PAIRS + 1)
    ).sort_values(keys, ignore_index=True)


@pytest.fixture
def folder(out, noise, tmp_path):
    copied = shutil.copytree(out / "results", tmp_path / "paper")
    write(copied, noise)
    return copied


def row_of(page, claim):
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {claim} |"))
    return row


def test_each_claim_has_its_verdict_with_p_holm_and_q(folder, noise):
    write(folder, shifted(noise, 4, claim="1a", subject="trained"))
    page = render(folder)
    table = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    assert table.loc["1a", "verdict"] == "confirmed"
    assert table.index.tolist() == [claim.name for claim in CLAIMS]
    for claim, of in table.iterrows():
        assert f" | **{of['verdict']}** | " in row_of(page, claim)
    q = f"{table.loc['3b', 'q']:.3f}".removeprefix("0")
    assert f" | {q} | " in row_of(page, "3b").replace("| 1 |", "| 1.000 |")


def test_no_claim_without_an_effect_gets_a_verdict(folder):
    table = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    others = table.drop(["2a", "2b"])
    assert set(others["verdict"]) == {"not confirmed at this scale"}
    assert (table.loc[["2a", "2b"], "verdict"] == "not testable as stated").all()
    page = render(folder)
    assert "**Confirmed:** none." in page
    assert "**Contradicted:** none." in page


def test_the_summary_follows_from_the_effects(folder, noise):
    effects = shifted(noise, 5, claim="7g", subject="trained")
    effects = shifted(effects, -5, claim="2d", subject="trained")
    write(folder, effects)
    page = render(folder)
    assert re.search(r"^- \*\*Confirmed:\*\* `7g` Under differential.*$", page, re.M)
    assert re.search(r"^- \*\*Contradicted:\*\* `2d` Members win.*$", page, re.M)


def test_a_p_value_whose_q_is_above_the_level_is_called_out(folder):
    table = pd.read_csv(folder / "verdicts.csv")
    table["p"] = table["p"].clip(lower=0.06)
    table.loc[table["claim"] == "3b", ["p", "holm", "q"]] = [0.041, 0.9, 0.151]
    table.to_csv(folder / "verdicts.csv", index=False)
    page = render(folder)
    assert "Claims with p of at most 0.05 whose q is above it: `3b`." in page
    assert "**Not confirmed at this scale** (p = .041, Holm p = .900, q = .151)" in page


def test_which_of_several_effects_show_follows_from_the_numbers(folder, noise):
    effects = noise
    decides = DECIDES["7a"]
    for effect, by in (("simclr", 6), ("mae", -6)):
        effects = shifted(effects, by, claim="7a", effect=effect, estimator=decides)
    write(folder, effects)
    assert (
        "positive: `simclr`; negative: `mae`; not significant: `byol` and `simclr_vit`."
    ) in render(folder)


def test_training_by_training_both_measures_are_told(folder):
    table = pd.read_csv(folder / "trainings.csv")
    table[["rise_p_adjusted", "share_p_adjusted"]] = 0.5
    table[["rise", "share"]] = 0.1
    mae = table["training"] == "mae"
    table.loc[mae, "share_p_adjusted"] = 0.01
    table.loc[table["training"] == "byol", ["rise", "rise_p_adjusted"]] = 0.2, 0.02
    table.loc[table["training"] == "simclr", ["rise", "rise_p_adjusted"]] = -0.2, 0.02
    table.to_csv(folder / "trainings.csv", index=False)
    page = render(folder)
    assert (
        "LayerMem rises with depth (adjusted p of at most 0.05, see below): `byol`."
        in page
    )
    assert "of the units of the last third of the layers: `mae`." in page
    neither = set(table["training"]) - {"mae", "byol"}
    (said,) = re.findall(
        "neither shows, which does not exclude memorisation: (.*)", page
    )
    assert set(re.findall("`(.*?)`", said)) == neither


def test_what_the_tables_say_the_page_says(folder):
    table = pd.read_csv(folder / "estimates.csv")
    of = (table["claim"] == "5a") & (table["subject"] == "trained")
    table.loc[of, ["value", "value_low", "value_high"]] = [0.1234, 0.1111, 0.1357]
    table.to_csv(folder / "estimates.csv", index=False)
    page = render(folder)
    assert "| +0.123 (+0.111 to +0.136) |" in page
    about_5a = page[page.index("**5a ") : page.index("**5b ")]
    assert "The interval of the effect lies above zero." in about_5a


def test_claims_that_cannot_be_tested_show_what_encoders_without_training_give(folder):
    table = pd.read_csv(folder / "estimates.csv")
    of = (table["claim"] == "2a") & (table["subject"] == "untrained")
    table.loc[of, ["value", "value_low", "value_high"]] = [0.498, 0.497, 0.5]
    table.to_csv(folder / "estimates.csv", index=False)
    assert "It gives +0.498 (+0.497 to +0.500) for untrained encoders," in render(
        folder
    )


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("untrained", "untrained encoders"),
        ("shuffled", "shuffled roles"),
        ("external", "external images alone"),
    ],
)
def test_controls_on_which_the_published_metric_shows_it_are_called_out(
    folder, control, words
):
    table = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    for verdict in ("confirmed", "not confirmed at this scale"):
        table[f"published_{control}"] = table[f"published_{control}"].astype(object)
        table.loc["1a", f"published_{control}"] = verdict
        table.to_csv(folder / "verdicts.csv")
        assert (words in row_of(render(folder), "1a")) == (verdict == "confirmed")


def test_effects_found_on_controls_are_counted(folder):
    table = pd.read_csv(folder / "estimates.csv")
    of = table[(table["subject"] != "trained") & (table["value"] != 0)]
    found = (of["value_low"] > 0) | (of["value_high"] < 0)
    published = of["estimator"] == "published"
    # Claims have other estimators as well, which decide nothing.
    deciding = ~published & ~of["estimator"].isin(["calibrated", "equal counts"])
    assert found[published].any()
    page = render(folder)
    for which in (published, deciding):
        counts = f"{found[which].sum()} of {which.sum()}"
        assert re.search(rf"\b{counts}\b", page), counts


def test_the_committed_page_tells_how_the_scale_was_chosen(folder, noise):
    (folder / "pilot").mkdir()
    pilot = noise[(noise["pair"] <= 3) & ~noise["claim"].isin(["2e", "7d"])]
    pilot.to_csv(folder / "pilot" / "effects.csv", index=False)
    page = render_committed(folder)
    assert "How the scale was chosen" in page
    assert "did not measure in this form (2e, 7d)" in page
    of = (noise["claim"] == "1a") & (noise["subject"] == "trained")
    values = noise[of & (noise["estimator"] == "symmetric")].set_index("pair")["value"]
    expected = f"| {values[:3].mean():+.4f} | {values[:3].std():.4f} | "
    (row,) = (line for line in page.splitlines() if expected in line)
    assert row.startswith("| 1a |")
    assert row.endswith(f" | {values.std():.4f} |")
