import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import sklearn

from skhep_ml._demo import _closure, _sample, run_demo, table
from skhep_ml.datasets import load_higgs
from skhep_ml.metrics import asimov_significance

N_EVENTS = 8000
VOID = {"meta", "link", "img", "br", "hr"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new"
    stream = io.StringIO()
    before = sklearn.get_config()
    results = run_demo(folder, max_events=N_EVENTS, n_estimators=15, stream=stream)
    assert sklearn.get_config() == before
    return folder, results, stream.getvalue()


class Page(HTMLParser):
    """Nesting, identifiers, links and pictures of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.headings = [], [], [], [], []
        self.loads = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if tag == "a" else []
        self.images += [attrs] if tag == "img" else []
        self.headings += [tag] if re.fullmatch(r"h\d", tag) else []
        if tag != "a":
            self.loads += [attrs[key] for key in ("src", "href", "srcset", "data") if key in attrs]
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


# --- files ---------------------------------------------------------------------------------------


def test_files(demo):
    folder, results, _ = demo
    assert sorted(path.name for path in folder.iterdir()) == [
        "plots",
        "report.html",
        "results.json",
    ]
    plots = list((folder / "plots").iterdir())
    assert len(plots) >= 20
    assert {"performance-3.png", "score-by-process-1.png"} <= {path.name for path in plots}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))


def test_results_are_plain_json(demo):
    folder, _, _ = demo

    def refuse(name):
        raise AssertionError(name)

    text = (folder / "results.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert set(found) >= {
        "skhep_ml",
        "sample",
        "settings",
        "search",
        "models",
        "auc_difference",
        "significance",
        "working_point",
        "overtraining",
        "ranking",
        "weights",
        "closure",
        "scaling",
        "seconds",
        "versions",
        "verdict",
        "warnings",
    }
    assert set(found["models"]) == set(found["significance"]) == {"BDT", "logistic regression"}
    assert set(found["closure"]["policies"]) == {"refine", "keep", "drop", "abs", "unsigned truth"}
    assert len(found["search"]["tried"]) == 4
    for model in found["models"].values():
        assert set(model["rejection"]) == {"0.3", "0.5", "0.7"}
        assert model["auc"]["std"] > 0


def test_page(demo):
    folder, results, _ = demo
    whole = (folder / "report.html").read_text(encoding="utf-8")
    # diagrams of models are documents of their own, in sandboxed frames
    text, n_frames = re.subn(r' sandbox srcdoc="[^"]*"', "", whole)
    assert n_frames == 2
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(link[0] == "#" and link[1:] in page.ids for link in page.links)
    assert all(load.startswith("data:") for load in page.loads)
    assert "url(" not in text
    assert "@import" not in text
    assert len(page.images) == len(list((folder / "plots").iterdir()))
    assert all(image["alt"] and image["src"].startswith("data:image/png") for image in page.images)
    assert page.headings[0] == "h1"
    assert set(page.headings[1:]) == {"h2"}
    # every section is in the contents list, after the link that skips it and that to the top
    assert len(page.links) == 2 + len(page.headings[1:])
    shown = text.replace("&#39;", "'")
    assert results["verdict"] in shown
    assert all(warning in shown for warning in results["warnings"])
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split()


def test_progress_and_terminal_table(demo):
    _, results, progress = demo
    assert re.findall(r"^\[(\d)/7\] .+ \.\.\. \d+\.\d s$", progress, re.M) == list("1234567")
    lines = table(results).splitlines()
    assert "BDT" in lines[0]
    assert "logistic regression" in lines[0]
    assert lines[1].startswith("AUC")
    assert lines[-1] == results["verdict"]


# --- numbers, against the metrics and against slow sums ------------------------------------------


def test_parts_and_weights(demo):
    _, results, _ = demo
    sample = results["sample"]
    assert (
        sample["training"] + sample["validation"] + sample["test"] == sample["events"] == N_EVENTS
    )
    everything = load_higgs(weights="signed")
    assert sample["class_yields"] == {str(k): v for k, v in everything.class_yields.items()}
    loaded, _ = _sample.load_sample(N_EVENTS)
    assert sum(row["events"] for row in results["weights"].values()) == N_EVENTS
    for name, row in results["weights"].items():
        here = loaded.process == name
        w = loaded.weight[here]
        assert row["negative_fraction"] == pytest.approx((w < 0).sum() / here.sum())
        assert row["sum"]["value"] == pytest.approx(w.sum())
        assert row["effective"] == pytest.approx(w.sum() ** 2 / (w**2).sum())


def test_reduced_sample_keeps_the_luminosity():
    part, events = _sample.load_sample(N_EVENTS)
    assert part.truth.sum() == pytest.approx(events.weight_truth.sum(), rel=0.1)
    whole, _ = _sample.load_sample()
    assert len(whole) == len(events.target)
    assert np.array_equal(whole.weight, events.weight)


def test_processes_are_ordered_signal_first():
    sample, _ = _sample.load_sample(N_EVENTS)
    names = sample.processes()
    is_signal = [bool(sample.y[sample.process == name][0]) for name in names]
    assert is_signal == sorted(is_signal, reverse=True)
    assert names[0] == "ggH"


def test_significance_follows_from_its_yields(demo):
    _, results, _ = demo
    for by_uncertainty in results["significance"].values():
        assert by_uncertainty is not None
        values = []
        for relative, found in by_uncertainty.items():
            s, b = found["signal"]["value"], found["background"]["value"]
            expected = asimov_significance(s, b, float(relative) * b)
            assert found["test"]["value"] == pytest.approx(expected)
            assert found["test"]["std"] > 0
            values.append(found["validation"])
        # more is known, more is expected
        assert values == sorted(values, reverse=True)


def test_working_point_agrees_with_the_significance(demo):
    _, results, _ = demo
    point = results["working_point"]
    found = results["significance"]["BDT"]["0.05"]
    assert point["cut"] == found["cut"]
    for signal, key in ((True, "signal"), (False, "background")):
        rows = [row for row in point["yields"].values() if row["signal"] is signal]
        after = sum(row["after"]["value"] for row in rows)
        before = sum(row["before"]["value"] for row in rows)
        assert after == pytest.approx(found[key]["value"])
        assert before == pytest.approx(results["sample"]["class_yields"][str(int(signal))])
        std = np.sqrt(sum(row["after"]["std"] ** 2 for row in rows))
        assert std == pytest.approx(found[key]["std"])
        assert sum(row["raw"] for row in rows) == found[f"n_{key}"]
        assert point["confusion"]["shares"][signal][1] == pytest.approx(after / before)


def test_closure_and_ranking_are_complete(demo):
    _, results, _ = demo
    names = load_higgs().feature_names
    assert sorted(row["feature"] for row in results["ranking"]) == sorted(names)
    losses = [row["value"] for row in results["ranking"]]
    assert losses == sorted(losses, reverse=True)
    assert [row["feature"] for row in results["scaling"]] == names
    loaded, _ = _sample.load_sample(N_EVENTS)
    for name, row in results["closure"]["truth"].items():
        assert row["sum"] == pytest.approx(loaded.truth[loaded.process == name].sum())
    policies = results["closure"]["policies"]
    for row in policies.values():
        assert sum(share["value"] for share in row["shares"]) == pytest.approx(1)
    truth = policies["unsigned truth"]
    for row in policies.values():
        assert row["auc_lost"]["value"] == pytest.approx(
            truth["auc"]["value"] - row["auc"]["value"]
        )
    # negative weights are the more frequent the more jets, so dropping them moves the background
    assert policies["abs"]["shares"][-1]["value"] > 2 * truth["shares"][-1]["value"]


def toy(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    truth = rng.exponential(1.0, n)
    # +-w / (1 - 2q) with q = 0.2 keeps the expectation
    sign = np.where((rng.random(n) < 0.2) & (y == 0), -1.0, 1.0)
    weight = np.where(y == 0, truth * sign / 0.6, truth)
    X = rng.normal(y[:, None], 1.0, (n, 2)).astype(np.float32)
    process = np.where(y == 1, "S", rng.choice(["B", "C"], n))
    return _sample.Sample(X, y, weight, truth, np.arange(n), process)


def test_signed_difference_by_slow_sums():
    sample = toy(300)
    values = sample.X[:, 0].astype(float)
    values[:7] = np.nan
    edges = np.array([-1.0, 0.0, 1.0])
    found = _closure.signed_difference(values, sample, edges)
    for k in range(3):
        events = [
            i
            for i in range(len(sample))
            if sample.y[i] == 0
            and (np.isnan(values[i]) if k == 2 else (values[i] >= 0) == (k == 1))
            and (k == 2 or not np.isnan(values[i]))
        ]
        difference = sample.weight[events] - sample.truth[events]
        assert found["events"][k] == len(events)
        assert (found["signed"] - found["truth"])[k] == pytest.approx(difference.sum())
        assert found["error"][k] == pytest.approx(np.sqrt((difference**2).sum()))


def test_signed_agreement_is_chi_squared_and_sees_a_bias():
    edges = np.linspace(-2, 2, 11)
    samples = [toy(2000, seed) for seed in range(40)]
    found = [_closure.signed_agreement(s.X[:, 0], s, edges) for s in samples]
    total, ndf = sum(row["chi2"] for row in found), sum(row["ndf"] for row in found)
    assert abs(total - ndf) < 4 * np.sqrt(2 * ndf)
    biased = samples[0]
    biased.weight[:] = np.abs(biased.weight)
    assert _closure.signed_agreement(biased.X[:, 0], biased, edges)["pvalue"] < 1e-6


def test_smallest_pvalue():
    rows = [{"feature": "a", "pvalue": 0.5}, {"feature": "b", "pvalue": 0.1}]
    found = _closure.smallest_pvalue(rows)
    assert found["feature"] == "b"
    assert found["global_pvalue"] == pytest.approx(1 - 0.9**2)
