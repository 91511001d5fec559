"""The sweep over latent sizes and weights: a small one really runs, and its page shows what is stored."""

from itertools import pairwise

import pytest
from PIL import Image
from support.paths import ROOT

from abele_py.errors import UnknownNameError
from abele_py.models.checkpoints import read_manifest
from benchmarks import sweep, sweep_page

PAGE = ROOT / "docs" / "latent-space.md"


def row(name="mnist-k4-w0.002", **changed):
    figures = dict.fromkeys(sweep_page.FIGURES, 0.5) | changed.pop("figures", {})
    training = {"epochs": 3, "batch_size": 128, "images": 55000, "steps": 1287, "seconds": 60.0, "threads": 1}
    setting = {"data_set": "mnist", "latent_dim": 4, "adversarial_weight": 0.002, "mmd_weight": 0.0, "seed": 0}
    rest = {"judge": "mnist-cnn", "split": "val", "images": 5000, "explained_images": 40}
    return {"name": name, **setting, "training": training, **rest, "figures": figures} | changed


@pytest.mark.slow
def test_a_small_sweep_is_measured_once_and_in_all_figures(tmp_path, monkeypatch):
    settings = [sweep.Setting("digits", 6, 0.002, mmd_weight=0.01, seed=1)]
    sweep.sweep(settings, tmp_path, tmp_path / "networks", None, explained=2, epochs=15)
    (row,) = sweep_page.stored(tmp_path)
    assert row["name"] == "digits-k6-w0.002-mmd0.01-seed1"
    assert set(sweep_page.FIGURES) <= set(row["figures"])
    assert (row["training"]["epochs"], row["split"], row["explained_images"]) == (15, "val", 2)
    assert row["figures"]["rmse"] < 80
    assert row["figures"]["explained"] == 1.0

    monkeypatch.setattr(sweep, "train", None)  # whoever calls it now fails
    sweep.sweep(settings, tmp_path, tmp_path / "networks", None)


@pytest.mark.slow
def test_the_same_setting_gives_the_same_weights(tmp_path):
    settings = sweep.Setting("digits", 2, 0.002), sweep.Setting("digits", 2, 0.002), sweep.Setting("digits", 2, 0.008)
    networks = [
        sweep.load(s, sweep.train(s, tmp_path / str(i), None, epochs=1, limit=300))[0].state_dict()
        for i, s in enumerate(settings)
    ]
    weights = [network["encoder.0.1.weight"] for network in networks]
    assert networks[0]["decoder.0.weight"].shape == (512, 2)  # as wide as the recipe's
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


@pytest.mark.slow
def test_without_a_judge_the_network_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sweep.JUDGES, "digits", "no-such-classifier")
    sweep.material.cache_clear()
    sweep.sweep([sweep.Setting("digits", 2, 0.002)], tmp_path, tmp_path / "networks", None, epochs=1, limit=150)
    assert "no-such-classifier" in capsys.readouterr().out
    assert [path.name for path in tmp_path.rglob("*.*")] == ["digits-k2-w0.002.safetensors"]


def test_the_page_is_fresh():
    text, rows = PAGE.read_text(encoding="utf-8"), sweep_page.stored()
    assert sweep_page.fresh(text, rows) == text, "run: python benchmarks/sweep_page.py"
    assert text.count("<!-- sweep: ") > 10
    drawn = Image.open(PAGE.with_suffix(".png")).text["Description"]
    assert drawn == sweep_page.digest(rows), "run: python benchmarks/sweep_page.py"


def test_all_settings_are_stored():
    named = {s.name for s in sweep.SETTINGS}
    assert {r["name"] for r in sweep_page.stored()} == named
    assert len(named) == len(sweep.SETTINGS)


def test_a_mark_is_filled_and_an_unknown_one_refused():
    rows = [row(figures={"rmse": 30.16, "agreement": None}), row("mnist-k4-w0.008", adversarial_weight=0.008)]
    text = "at <!-- sweep: mnist-k4-w0.002 rmse -->?<!-- end -->, <!-- sweep: mnist-k4-w0.002 agreement --><!-- end -->"
    assert sweep_page.fresh(text, rows).count("-->30.2<!-- end -->") == 1
    assert sweep_page.fresh(text, rows).endswith("-->-<!-- end -->")
    assert sweep_page.fresh(text.replace("sweep:", "sweep%:"), rows).endswith("-->-<!-- end -->")
    with pytest.raises(UnknownNameError, match="mnist-k5"):
        sweep_page.fresh("<!-- sweep: mnist-k5-w0.002 rmse --><!-- end -->", rows)


def test_the_table_has_a_row_for_each_training_and_a_column_for_each_figure():
    lines = sweep_page.table([row(figures={"rmse": 30.16})]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| MNIST | 4 | 0.002 | 0 | 0 | 30.2 | 0.500 |")


def test_rows_of_other_sizes_are_not_put_into_one_sentence():
    with pytest.raises(ValueError, match="unpack"):
        sweep_page.how([row(), row("other", explained_images=7)])
    assert "2 trainings of 3 epochs of 55,000 images" in sweep_page.how([row(), row()])


def test_the_plot_has_a_column_for_each_data_set_and_joins_sizes_of_one_weight():
    cross = [(0.002, 2), (0.002, 4), (0.002, 8), (0.02, 4)]
    rows = [row(data_set=d, adversarial_weight=w, latent_dim=k) for d in ("mnist", "digits") for w, k in cross]
    figure = sweep_page.plot(rows)
    assert len(figure.axes) == 2 * len([shown for shown in sweep_page.FIGURES.values() if shown.panel])
    drawn = {line.get_linestyle(): list(line.get_xdata()) for line in figure.axes[0].lines if len(line.get_xdata())}
    assert drawn == {"-": [2, 4, 8], "None": [4]}
    assert sweep_page.digest(rows) != sweep_page.digest(rows[1:])


def test_what_was_shipped_is_read_from_its_manifest():
    text = "<!-- sweep: shipped digits latent_dim -->?<!-- end --> <!-- sweep: shipped digits rmse_255 -->?<!-- end -->"
    manifest = read_manifest("digits")
    assert f"-->{manifest.config['latent_dim']}<" in sweep_page.fresh(text, [])
    assert f"-->{manifest.metrics['rmse_255']:.3g}<" in sweep_page.fresh(text, [])


@pytest.mark.parametrize("data_set", ["mnist", "fashion-mnist"])
def test_what_the_page_says_in_words_holds(data_set):
    """The numbers on the page are filled in; the words around them are not."""
    of = {r["name"]: r["figures"] for r in sweep_page.stored()}
    sizes = [of[f"{data_set}-k{k}-w0.002"] for k in (2, 4, 8, 16, 32)]
    weak, middle, strong = (of[f"{data_set}-k16-w{w}"] for w in ("0.0002", "0.002", "0.02"))
    balance = [abs(row["discriminator_codes"] - 0.5) for row in (weak, middle, strong)]
    assert balance[0] > max(balance[1:])
    assert weak["rmse"] < middle["rmse"] < strong["rmse"]
    gained, lost = ([a[f] - b[f] for a, b in pairwise(sizes)] for f in ("label_preservation", "balanced_agreement"))
    assert all(gain < 0 for gain in gained[:2]), "up to 8 coordinates, more keep more labels"
    assert lost[-1] > 0, "from 16 to 32 the surrogate loses"
    assert all(row["counter_exemplar"] >= 0.95 for row in sizes)
    assert sizes[0]["outlier_factor"] < sizes[-1]["outlier_factor"]
    if data_set == "mnist":
        assert -gained[3] < 0.1 * -gained[2], "hardly anything to win from 16 to 32"
        assert balance[2] < balance[1]
        assert abs(middle["rmse"] - weak["rmse"]) < 0.25 * (strong["rmse"] - middle["rmse"])
        assert middle["fid_prior"] < min(weak["fid_prior"], strong["fid_prior"])
    else:
        assert max(abs(gain) for gain in gained[2:]) < 0.01, "8, 16 and 32 are not told apart"
        assert lost[2] > 0, "8 coordinates have the more faithful surrogate"
        assert balance[2] >= balance[1], "the largest weight wins no balance"
