import importlib.metadata
import json
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression as PlainLogistic
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.inspection import evaluate_systematics
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import (
    bias_score,
    resolution_score,
    roc_auc_score,
    roc_auc_scorer,
    selected_yields,
)
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier, RotatingRegressor
from skhep_ml.plotting import Blind, CorrelationDisplay
from skhep_ml.preprocessing import ZScoreScaler
from skhep_ml.report import Section, Table, make_report
from skhep_ml.report._call import construction
from skhep_ml.report._figures import canvas
from skhep_ml.report._inputs import heat_map_size
from skhep_ml.report._make import SECTIONS
from skhep_ml.report._regression import SECTIONS as REGRESSION_SECTIONS

#: What takes long and is looked at in one report only.
SLOW = [
    "Performance",
    "Score by process",
    "Expected significance",
    "Working point",
    "Inputs of the model",
    "Efficiency against other variables",
    "Data summary",
    "Event weights",
    "Search",
]


def events(n=800, seed=0):
    found = make_signed_events(n, 0.1, n_features=2, random_state=seed)
    number = np.arange(len(found.target)) + 10_000 * seed
    process = np.where(found.target == 1, "S", np.where(found.data[:, 0] > 0, "B", "C"))
    return {
        "X": found.data,
        "y": found.target,
        "sample_weight": found.weight,
        "groups": number,
        "process": process,
    }


def fit(model, sample):
    with sklearn.config_context(enable_metadata_routing=True):
        return model.fit(
            sample["X"],
            sample["y"],
            sample_weight=sample["sample_weight"],
            groups=sample["groups"],
        )


@pytest.fixture(scope="module")
def sample():
    return events()


@pytest.fixture(scope="module")
def linear(sample):
    return LogisticRegression().fit(sample["X"], sample["y"], sample_weight=sample["sample_weight"])


@pytest.fixture(scope="module")
def full(sample, tmp_path_factory):
    """A report with everything: rotating search and model, recorded events."""
    folder = tmp_path_factory.mktemp("report") / "new"
    bdt = BDTClassifier(5, early_stopping_rounds=5, random_state=0, n_jobs=1)
    search = GridSearchCV(
        make_pipeline(ZScoreScaler(), bdt),
        {"bdtclassifier__max_depth": [2], "bdtclassifier__min_child_weight": [1, 2, 4, 8, 16]},
        cv=EventNumberKFold(2),
        scoring=roc_auc_scorer(),
    )
    models = {
        "BDT": fit(RotatingClassifier(search, 3), sample),
        "linear": fit(RotatingClassifier(LogisticRegression(), 3), sample),
    }
    is_data = np.arange(len(sample["y"])) % 8 == 0
    before = dict(matplotlib.rcParams)
    report = make_report(
        models,
        **sample,
        path=folder / "report.html",
        is_data=is_data,
        blind=Blind(0.6),
        variables={"x": sample["X"][:, 0], "count": np.round(sample["X"][:, 1])},
        cutflow=[("all", 50_000), ("trigger", 1600)],
        feature_names=["<mass>", "d_0"],
        sections=[Section("My own", ["A word.", Table(["a"], [["1"]], "Mine.")])],
    )
    assert dict(matplotlib.rcParams) == before
    return report, folder, models, is_data


def titles(report):
    return [section.title for section in report.sections]


# --- what is in a report -------------------------------------------------------------------------


def test_every_section(full):
    report, _, _, _ = full
    assert titles(report) == [
        "Performance",
        "Score by process",
        "Expected significance",
        "Working point",
        "Training against test",
        "Folds",
        "Learning curves",
        "Recorded events",
        "Inputs of the model",
        "Efficiency against other variables",
        "Data summary",
        "Event weights",
        "Search",
        "My own",
        "Models",
        "Hyperparameters",
        "Cutflow",
        "Reproduce",
    ]
    assert set(SECTIONS) <= set(titles(report))


def test_every_figure_says_what_it_shows(full):
    from skhep_ml.report import Figure

    report, _, _, _ = full
    figures = [b for section in report.sections for b in section.blocks if isinstance(b, Figure)]
    assert len(figures) >= 20
    for figure in figures:
        assert figure.alt
        assert re.search(r"\d events? with|training|search of", figure.caption), figure.caption
    performance = report.sections[0].blocks
    for figure in performance[1:]:
        assert "1,400 events with signed event weights" in figure.caption
        assert "each scored by the one of 3 models that did not see it" in figure.caption


def test_numbers_agree_with_the_metrics(full, sample):
    report, _, models, is_data = full
    y, w, groups = (sample[key][~is_data] for key in ("y", "sample_weight", "groups"))
    X = sample["X"][~is_data]
    numbers = report.numbers
    assert numbers["sample"]["events"] == len(y)
    for name, model in models.items():
        score = model.predict_proba(X, groups=groups)[:, 1]
        found = numbers["models"][name]
        expected = roc_auc_score(y, score, sample_weight=w)
        assert found["auc"]["value"] == pytest.approx(expected)
        assert set(found["rejection"]) == {"0.3", "0.5", "0.7"}
        assert len(found["folds"]["folds"]) == 3
        assert set(numbers["significance"][name]) == {"0", "0.05", "0.1"}
    score = models["BDT"].predict_proba(X, groups=groups)[:, 1]
    point = numbers["working_point"]
    assert point["cut"] == numbers["significance"]["BDT"]["0.05"]["cut"]
    # the half on which it is quoted stands for all events
    before = {key: row["before"]["value"] for key, row in point["yields"].items()}
    assert before["S"] == pytest.approx(w[y == 1].sum())
    assert before["B"] + before["C"] == pytest.approx(w[y == 0].sum())
    raw = sum(row["raw"] for row in point["yields"].values())
    assert 0.3 * np.sum(score >= point["cut"]) < raw < 0.7 * np.sum(score >= point["cut"])
    assert len(numbers["search"]["BDT"]["tried"]) == 5
    assert [row["feature"] for row in numbers["ranking"]] != []
    assert numbers["versions"]["numpy"] == importlib.metadata.version("numpy")


def test_front_page(full):
    report, _, _, _ = full
    table, yields = report.front_tables
    assert [row[0] for row in table.rows] == [
        "AUC",
        "Rejection at 30% signal efficiency",
        "Rejection at 50% signal efficiency",
        "Rejection at 70% signal efficiency",
        "Significance, background ± 0%",
        "Significance, background ± 5%",
        "Significance, background ± 10%",
        "Best cut, background ± 5%",
        "Spread of the AUC over folds",
        "Overtraining p, signal / background",
    ]
    assert list(yields.columns[-2:]) == ["raw", "effective"]
    assert {row[0] for row in yields.rows} == {"S", "B", "C"}
    assert report.verdict.count("AUC") == 1


def test_the_call_and_the_hashes_reproduce(full, sample):
    report, _, _, _ = full
    code, inputs = report.sections[-1].blocks[:2]
    assert code.text.startswith("from skhep_ml.report import make_report\n\nmake_report(\n")
    compile(code.text, "call", "exec")
    for piece in ("RotatingClassifier(estimator=GridSearchCV(", "blind=Blind('score > 0.6')"):
        assert piece in code.text
    again = make_report(
        full[2], **{**sample, "X": sample["X"] + 1.0}, path=None, skip=list(SECTIONS)
    )
    same = make_report(full[2], **sample, path=None, skip=list(SECTIONS))
    rows = [one.sections[-1].blocks[1].rows for one in (again, same)]
    assert rows[0][0] != rows[1][0]
    assert rows[0][1:] == rows[1][1:]
    assert [row[0] for row in inputs.rows] == ["X", "y", "sample_weight", "groups"]


def test_formats(sample, linear, tmp_path):
    paths = [tmp_path / f"report{ending}" for ending in (".html", ".md", ".json")]
    report = make_report(
        linear,
        **sample,
        path=paths,
        skip=[title for title in SECTIONS if title != "Score by process"],
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["report.html", "report.json", "report.md", "report_files"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((report_files/[^)]+)\)", text)
    files = sorted((tmp_path / "report_files").iterdir())
    assert sorted(links) == [f"report_files/{path.name}" for path in files]
    assert {path.suffix for path in files} == {".png", ".pdf", ".tex"}
    for path in files:
        start = path.read_bytes()[:5]
        assert start in (b"\x89PNG\r", b"%PDF-") or path.suffix == ".tex"
    found = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert found["verdict"] == report.verdict
    name = "LogisticRegression"
    assert found["numbers"]["models"][name]["auc"] == report.numbers["models"][name]["auc"]
    assert {table["section"] for table in found["tables"]} >= {"front page", "Hyperparameters"}


def test_models_are_shown_as_they_are_constructed():
    class Net(LogisticRegression):
        def __repr__(self):
            return "<net> with\nmany layers"

    model = make_pipeline(ZScoreScaler(), Net(C=0.5))
    assert construction(model) == (
        "Pipeline(steps=[('zscorescaler', ZScoreScaler()), ('net', Net(C=0.5))])"
    )
    assert construction({"a": (1,), "f": sorted, "t": int}).startswith("{'a': (1,), 'f': ")
    opened = Blind(0.5).open("it is time")
    assert construction(opened) == "Blind('score > 0.5').open('it is time')"


def test_same_input_same_page(sample, linear, tmp_path):
    pages = []
    for name in ("a", "b"):
        path = tmp_path / name / "report.html"
        make_report(linear, **sample, path=path, skip=SLOW)
        pages.append(path.read_text(encoding="utf-8").replace(str(path), ""))
    assert pages[0] == pages[1]


# --- the page in a browser -----------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 400])
def test_page_in_a_browser(full, browser, width):
    report, folder, _, _ = full
    browser.show(folder / "report.html", width)
    assert browser.errors() == []
    assert browser.evaluate("document.images.length") >= 20
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    # nothing but tables and code scrolls sideways
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    frames = browser.evaluate("document.querySelectorAll('iframe[title]').length")
    assert frames == 2
    # by keyboard: the link that skips, then every section in the contents, in order
    reached = []
    for _ in range(2 + len(report.sections)):
        browser.press("Tab", 9)
        reached.append(browser.evaluate("document.activeElement.textContent"))
    assert reached == ["Skip to the content", "Result", *titles(report)]
    browser.press("Enter", 13, "\r")
    assert browser.evaluate("location.hash") == "#reproduce"
    assert browser.evaluate(
        "document.getElementById('reproduce').getBoundingClientRect().top < innerHeight"
    )
    assert browser.errors() == []


def test_folded_table_opens_by_keyboard(full, browser):
    browser.show(full[1] / "report.html", 1280)
    browser.evaluate("document.querySelector('#hyperparameters ~ figure summary').focus()")
    is_open = "document.querySelector('#hyperparameters ~ figure details').open"
    assert browser.evaluate(is_open) is False
    browser.press("Enter", 13, "\r")
    assert browser.evaluate(is_open) is True


# --- kinds of models and events ------------------------------------------------------------------


def test_a_model_alone_and_a_list(sample, linear):
    other = PlainLogistic().fit(sample["X"], sample["y"])
    alone = make_report(linear, **sample, path=None, skip=SLOW)
    assert alone.title == "Report on LogisticRegression"
    assert alone.numbers["auc_difference"] is None
    assert alone.numbers["overtraining"] is None
    assert "overtraining not checked" in alone.verdict
    several = make_report([linear, other], **sample, path=None, skip=SLOW)
    assert list(several.numbers["models"]) == ["LogisticRegression 1", "LogisticRegression 2"]
    assert several.numbers["auc_difference"]["std"] > 0


def test_training_events_are_compared_and_found_again(sample, linear):
    train = {key: sample[key] for key in ("X", "y", "sample_weight", "groups")}
    new = make_report(linear, **events(seed=1), train=train, path=None, skip=SLOW)
    assert new.numbers["overtraining"]["n_train"] == 1600
    assert "Training against test" in titles(new)
    assert not any("trained on" in warning for warning in new.warnings)
    same = make_report(linear, **sample, train=train, path=None, skip=SLOW)
    assert same.warnings[0].startswith("1,600 events of the report were trained on")


def test_overtraining_of_a_rotating_model_is_seen(sample):
    rng = np.random.default_rng(0)
    noise = {**sample, "X": rng.normal(size=(len(sample["y"]), 2)), "sample_weight": None}
    bdt = BDTClassifier(60, max_depth=8, learning_rate=0.5, min_child_weight=0.0, n_jobs=1)
    model = RotatingClassifier(bdt, 3).fit(noise["X"], noise["y"], groups=noise["groups"])
    report = make_report(model, **noise, path=None, skip=SLOW)
    found = report.numbers["overtraining"]
    assert found["auc_train"] > 0.95
    assert abs(found["auc_test"] - 0.5) < 0.06
    assert found["ks"]["signal"]["pvalue"] < 1e-4
    assert "scores of training events are too good" in report.verdict


def test_identifiers_in_a_dataframe(sample):
    frame = pd.DataFrame(sample["X"], columns=["a", "b"])
    frame.insert(1, "event", sample["groups"])
    model = RotatingClassifier(LogisticRegression(), 3, id_columns="event")
    model.fit(frame, sample["y"], sample_weight=sample["sample_weight"])
    skip = [title for title in SECTIONS if title != "Inputs of the model"]
    report = make_report(
        model, frame, sample["y"], sample_weight=sample["sample_weight"], path=None, skip=skip
    )
    assert {row["feature"] for row in report.numbers["ranking"]} == {"a", "b"}
    assert report.numbers["models"]["LogisticRegression"]["folds"] is not None


def test_more_labels_than_two(sample):
    label = np.where(sample["process"] == "S", "S", sample["process"])
    model = PlainLogistic().fit(sample["X"], label)
    with pytest.raises(ValueError, match=r"3 labels .* pass pos_label="):
        make_report(model, sample["X"], label, path=None)
    report = make_report(
        model,
        sample["X"],
        label,
        pos_label="S",
        class_yields={"S": 10.0, "B": 100.0, "C": 300.0},
        path=None,
        skip=SLOW,
    )
    yields = report.numbers["working_point"]["yields"]
    assert {name: row["before"]["value"] for name, row in yields.items()} == pytest.approx(
        {"S": 10.0, "B": 100.0, "C": 300.0}
    )
    expected = roc_auc_score(label == "S", model.predict_proba(sample["X"])[:, 2])
    assert report.numbers["models"]["LogisticRegression"]["auc"]["value"] == pytest.approx(expected)


def test_rotating_without_identifiers_is_warned_of(sample):
    with pytest.warns(UserWarning, match="without event identifiers"):
        model = RotatingClassifier(LogisticRegression(), 3).fit(sample["X"], sample["y"])
    report = make_report(model, sample["X"], sample["y"], path=None, skip=SLOW)
    assert "mean of its models" in report.warnings[0]
    assert report.numbers["models"]["LogisticRegression"]["folds"] is None


def test_too_few_events_for_a_cut_is_said(linear):
    few = {key: values[:40] for key, values in events(seed=2).items()}
    few["sample_weight"] = None
    report = make_report(linear, **few, path=None, skip=SLOW)
    assert report.numbers["working_point"] is None
    assert "too few events for an expected significance" in report.verdict
    assert report.warnings[0].startswith("No expected significance of LogisticRegression: ")
    assert "Working point" not in titles(report)


def test_systematics_are_shown(sample, linear):
    nominal = Bunch(
        data=sample["X"],
        target=sample["y"],
        weight=sample["sample_weight"],
        event_number=sample["groups"],
        process=sample["process"],
    )
    varied = {"scale": (1.1 * sample["X"], 0.9 * sample["X"])}
    result = evaluate_systematics(linear, nominal, varied, n_replicas=10)
    report = make_report(
        linear, **sample, systematics=result, style="CMS", path=None, skip=list(SECTIONS)
    )
    section = report.sections[0]
    assert section.title == "Systematics"
    table = section.blocks[-1]
    assert [row[0] for row in table.rows] == ["nominal", "scale up", "scale down"]
    assert section.blocks[-2].png.startswith(b"\x89PNG")
    for finding in result.findings:
        assert finding in section.blocks


# --- test events and recorded events -------------------------------------------------------------


def test_sealed_test_events_are_not_read(sample, linear, tmp_path):
    test = events(seed=1)
    sealed = {"X": None, "y": object()}
    closed = make_report(linear, **sample, test=sealed, path=tmp_path / "r.html", skip=[*SLOW])
    assert not (tmp_path / "r.log").exists()
    assert closed.numbers["log"] == []
    opened = make_report(
        linear,
        **sample,
        test=test,
        open_test="selection frozen",
        path=tmp_path / "r.html",
        skip=SLOW,
    )
    assert opened.numbers["sample"]["events"] == 1600
    found = opened.numbers["significance"]["LogisticRegression"]["0.05"]
    score = linear.predict_proba(test["X"])[:, 1]
    held = selected_yields(test["y"], score >= found["cut"], sample_weight=test["sample_weight"])
    assert found["background"]["value"] == pytest.approx(held.b)
    (line,) = (tmp_path / "r.log").read_text().splitlines()
    assert line.endswith("UTC: test events opened: selection frozen")
    # the log stays with later reports
    later = make_report(linear, **sample, path=tmp_path / "r.html", skip=SLOW)
    assert later.sections[-1].title == "Log of openings"
    assert line in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("rule", [0.6, "s/sqrt(b) > 3", lambda X, score: X[:, 0] > 0.5])
def test_report_does_not_depend_on_blinded_events(sample, linear, rule):
    is_data = np.arange(len(sample["y"])) % 8 == 0
    blind = Blind(rule)
    score = linear.predict_proba(sample["X"])[:, 1]
    visible = blind.visible(
        score,
        is_data,
        is_signal=sample["y"] == 1,
        sample_weight=sample["sample_weight"],
        X=sample["X"],
    )
    assert 20 < np.sum(is_data & ~visible) < is_data.sum()
    # the pictures too, for one of the rules
    skip = SLOW if rule == 0.6 else [*SLOW, "Recorded events"]
    options = {"blind": blind, "path": None, "skip": skip}
    before = make_report(linear, **sample, is_data=is_data, **options)
    kept = {key: values[visible] for key, values in sample.items()}
    after = make_report(linear, **kept, is_data=is_data[visible], **options)
    assert before.numbers["recorded"]["events"] == np.sum(is_data & visible)
    assert before.numbers == after.numbers
    assert before.to_html() == after.to_html()


def test_opened_recorded_events_are_logged(sample, linear):
    is_data = np.arange(len(sample["y"])) % 8 == 0
    blind = Blind(0.6).open("review passed")
    skip = [*SLOW, "Recorded events"]
    report = make_report(linear, **sample, is_data=is_data, blind=blind, path=None, skip=skip)
    assert report.numbers["log"] == list(blind.log)
    assert report.numbers["recorded"]["events"] == 200
    outside = sample["sample_weight"][~is_data].sum()
    assert report.numbers["recorded"]["expected"]["value"] == pytest.approx(outside)
    assert report.sections[-1].title == "Log of openings"


def test_labels_and_weights_of_recorded_events_are_not_read(sample, linear):
    is_data = np.arange(len(sample["y"])) % 8 == 0
    skip = [*SLOW, "Recorded events", "Models"]
    options = {"blind": Blind(0.6), "path": None, "skip": skip, "is_data": is_data}
    before = make_report(linear, **sample, **options)
    changed = {**sample, "y": np.where(is_data, 7, sample["y"])}
    changed["sample_weight"] = np.where(is_data, np.nan, sample["sample_weight"])
    after = make_report(linear, **changed, **options)
    assert before.numbers == after.numbers


# --- wrong input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"path": "report.pdf"}, ValueError, "must end in one of .html, .md, .json"),
        ({"skip": ["Perfomance"]}, ValueError, "skip names .'Perfomance'."),
        ({"skip": "Performance"}, TypeError, "list of titles"),
        ({"open_test": "why"}, ValueError, "no test events"),
        ({"open_test": " ", "test": {}}, ValueError, "say why"),
        ({"open_test": "why", "test": {"X": [[0.0]]}}, ValueError, "test has no ..y.."),
        ({"train": [1]}, TypeError, "train must be a dict"),
        ({"train": {"X": 1, "y": 1, "z": 1}}, ValueError, "unknown keys .'z'."),
        ({"blind": Blind(0.5)}, ValueError, "pass is_data="),
        ({"is_data": np.zeros(1600, bool)}, ValueError, "say what of them is not looked at"),
        ({"is_data": np.zeros(3, bool), "blind": Blind(0.5)}, ValueError, "is_data must be bool"),
        ({"is_data": np.zeros(1600, bool), "blind": 0.5}, TypeError, "must be a Blind"),
        ({"style": "UA1"}, ValueError, "none of mplhep's"),
        ({"systematics": "table"}, TypeError, "what evaluate_systematics returns"),
        ({"class_yields": {0: 1.0}}, ValueError, "class_yields has the labels"),
        ({"class_yields": {0: 1.0, 1: -1.0}}, ValueError, "must be positive"),
        ({"pos_label": 3}, ValueError, "pos_label=3"),
        ({"process": ["a"] * 1600}, ValueError, "'a' is signal in some events"),
        ({"process": ["a"] * 3}, ValueError, "process has shape"),
        ({"variables": {"m": [1.0]}}, ValueError, "'m'. has shape"),
        ({"feature_names": ["a"]}, ValueError, "2 columns need"),
        ({"sample_weight": np.ones(5)}, ValueError, "sample_weight has 5 entries"),
        ({"groups": np.ones(1600)}, ValueError, "must be integers"),
        ({"y": np.zeros(1600)}, ValueError, "1 labels"),
        ({"y": np.zeros(5)}, ValueError, "1600 events"),
        ({"models": []}, ValueError, "models is empty"),
        ({"models": LogisticRegression}, TypeError, "give fitted models"),
        ({"models": {"x": 3}}, TypeError, "'x' is no estimator"),
        ({"models": LogisticRegression()}, ValueError, "not fitted"),
    ],
)
def test_wrong_input(sample, linear, tmp_path, change, error, said):
    arguments = {"models": linear, "path": tmp_path / "r.html", "skip": SLOW, **sample, **change}
    with pytest.raises(error, match=said):
        make_report(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_found_before_any_work(sample, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="cannot write to the output directory"):
        make_report(None, **sample, path=tmp_path / "file" / "r.html")


# --- regressors ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = 50 + 10 * X[:, 0] + rng.normal(size=600)
    return {"X": X, "y": y, "sample_weight": rng.uniform(0.5, 2, 600), "groups": np.arange(600)}


def test_regressors(regression, tmp_path):
    given = {key: regression[key] for key in ("sample_weight", "groups")}
    X, y = regression["X"], regression["y"]
    good = RotatingRegressor(Ridge(), 2).fit(X, y, groups=given["groups"])
    search = GridSearchCV(Ridge(), {"alpha": [1e3, 1e4]}, cv=EventNumberKFold(2))
    bad = RotatingRegressor(search, 2)
    bad.fit(X, y, groups=given["groups"])
    report = make_report(
        {"good": good, "bad": bad},
        **regression,
        variables={"x": X[:, 1]},
        path=[tmp_path / "r.html", tmp_path / "r.json"],
        skip=["Data summary", "Event weights"],
    )
    assert titles(report) == [
        "Predictions against truth",
        "Response",
        "Folds",
        "Inputs of the model",
        "Search",
        "Models",
        "Hyperparameters",
        "Reproduce",
    ]
    found = report.numbers["models"]["good"]
    predicted = good.predict(X, groups=given["groups"])
    weight = {"sample_weight": given["sample_weight"]}
    assert found["resolution"]["value"] == pytest.approx(resolution_score(y, predicted, **weight))
    assert found["bias"]["value"] == pytest.approx(bias_score(y, predicted, **weight))
    assert found["R²"]["value"] == pytest.approx(r2_score(y, predicted, **weight))
    assert found["mean absolute error"]["value"] == pytest.approx(
        mean_absolute_error(y, predicted, **weight)
    )
    assert all(found[name]["std"] > 0 for name in ("resolution", "bias", "R²"))
    assert sum(row["events"] for row in found["folds"]["folds"]) == 600
    assert found["pulls"] is None
    assert report.numbers["ranking"][0]["feature"] == "x0"
    assert report.verdict.startswith("good: resolution 1.")
    assert "better than bad" in report.verdict
    chosen = report.numbers["search"]["bad"]["by_fold"]
    assert [one["params"] for one in chosen] == [one.best_params_ for one in bad.estimators_]
    assert json.loads((tmp_path / "r.json").read_text())["numbers"]["verdict"] == report.verdict
    assert "2 models that did not see it" in (tmp_path / "r.html").read_text()


def test_pulls_of_a_regressor_that_knows_its_errors(regression):
    class Honest(Ridge):
        def predict(self, X, return_std=False):
            return (super().predict(X), np.ones(len(X))) if return_std else super().predict(X)

    model = Honest().fit(regression["X"][:300], regression["y"][:300])
    rest = {key: values[300:] for key, values in regression.items()}
    skip = [title for title in REGRESSION_SECTIONS if title != "Pulls"]
    report = make_report(model, **rest, path=None, skip=skip)
    found = report.numbers["models"]["Honest"]["pulls"]
    assert abs(found["mean"]) < 4 * found["mean_std"]
    assert found["width"] == pytest.approx(1, abs=0.15)
    assert titles(report)[0] == "Pulls"
    assert report.verdict.startswith("Honest: resolution")
    assert report.numbers["models"]["Honest"]["folds"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_yields": {0: 1.0}, "process": ["a"] * 600}, "takes no process=, class_yields="),
        ({"skip": ["Performance"]}, "skip names .'Performance'."),
        ({"y": np.full(600, np.nan)}, "y is NaN in 600 events"),
        ({"y": np.zeros(5)}, r"y has shape \(5,\), but X has 600 events"),
    ],
)
def test_wrong_input_with_regressors(regression, change, said):
    model = Ridge().fit(regression["X"], regression["y"])
    arguments = {"path": None, "skip": list(REGRESSION_SECTIONS), **regression, **change}
    with pytest.raises(ValueError, match=said):
        make_report(model, **arguments)


def test_regressors_and_classifiers_have_reports_of_their_own(regression, sample, linear):
    model = Ridge().fit(regression["X"], regression["y"])
    with pytest.raises(ValueError, match=r"\['R'\] are regressors and \['L'\] are not"):
        make_report({"R": model, "L": linear}, **sample, path=None)


def test_two_targets_are_refused(regression):
    model = Ridge().fit(regression["X"], np.column_stack([regression["y"]] * 2))
    with pytest.raises(ValueError, match="a report is on one"):
        make_report(model, **regression, path=None, skip=list(REGRESSION_SECTIONS))


def test_what_every_fold_chose_is_shown(full):
    report, _, models, _ = full
    section = next(one for one in report.sections if one.title == "Search")
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert "of the first fold's search" in tables[0].caption
    leaf = [
        one.best_params_["bdtclassifier__min_child_weight"] for one in models["BDT"].estimators_
    ]
    assert [row[0] for row in tables[1].rows] == ["0", "1", "2"]
    assert [row[2] for row in tables[1].rows] == [str(value) for value in leaf]


def test_names_beside_square_cells_are_not_cut():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    X = np.random.default_rng(0).normal(size=(50, 4))
    ax = canvas(*heat_map_size(4), layout="compressed")
    names = [f"missing_momentum_{k}" for k in range(4)]
    display = CorrelationDisplay.from_data(X, feature_names=names, ax=ax)
    painter = FigureCanvasAgg(display.figure_)
    painter.draw()
    ends = [label.get_window_extent(painter.get_renderer()).x0 for label in ax.get_yticklabels()]
    assert min(ends) >= 0
