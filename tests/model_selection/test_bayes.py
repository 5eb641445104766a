"""BayesSearchCV: what scikit-optimize's does, repaired, and resumed after being killed."""

import os
import signal
import subprocess
import sys
import time
import warnings
from itertools import product

import joblib
import numpy as np
import pytest
import sklearn
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression as PlainLogisticRegression
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skopt.learning import ExtraTreesRegressor
from skopt.space import Integer, Real

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold, search_space

X, Y = make_classification(n_samples=120, random_state=0)
SPACE = {"C": (1e-3, 1e3, "log-uniform"), "solver": ["lbfgs", "liblinear"]}
TREES = ExtraTreesRegressor(n_estimators=3, min_samples_leaf=3, random_state=0)
FEW_CANDIDATES = {"acq_optimizer_kwargs": {"n_points": 100, "n_restarts_optimizer": 1}}
QUICK = {"optimizer_kwargs": FEW_CANDIDATES, "acquisition": "EI"}


def make_search(**options):
    options = {"n_iter": 5, "n_initial_points": 4, "cv": 3, "random_state": 0, **QUICK, **options}
    return BayesSearchCV(PlainLogisticRegression(), SPACE, **options)


def trials(search):
    results = search.cv_results_
    return [
        (sorted(params.items()), score)
        for params, score in zip(results["params"], results["mean_test_score"], strict=True)
    ]


class Counter:
    """Callback that counts batches and stops where asked."""

    def __init__(self, stop_at=None):
        self.n, self.stop_at = 0, stop_at

    def __call__(self, result):
        self.n += 1
        return self.n == self.stop_at


def test_the_scores_are_cross_validated_ones():
    search = make_search().fit(X, Y)
    best = clone(search.estimator).set_params(**search.best_params_)
    assert search.best_score_ == cross_val_score(best, X, Y, cv=3).mean()
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.stopped_by_ == "n_iter"
    assert search.predict(X).shape == (120,)


def test_it_finds_the_optimum_of_a_known_function():
    class Parabola(Ridge):
        def score(self, X, y, sample_weight=None):
            return -((np.log10(self.alpha) - 1.0) ** 2)

    space = {"alpha": (1e-4, 1e4, "log-uniform")}
    search = BayesSearchCV(Parabola(), space, n_iter=20, cv=2, random_state=0).fit(X, Y)
    assert abs(np.log10(search.best_params_["alpha"]) - 1) < 0.1


@pytest.mark.parametrize(
    ("surrogate", "acquisition"),
    [*product(["GP", "RF", "ET", "GBRT"], ["hedge", "EI", "PI", "LCB"]), ("random", "EI")],
)
def test_every_surrogate_with_every_acquisition(surrogate, acquisition):
    search = make_search(
        n_iter=3,
        n_initial_points=2,
        cv=2,
        surrogate=surrogate,
        acquisition=acquisition,
    ).fit(X, Y)
    assert len(trials(search)) == 3
    if acquisition == "hedge":
        assert trials(search) == trials(clone(search).fit(X, Y))


def test_points_in_parallel_and_several_spaces():
    with joblib.parallel_backend("threading"):
        search = make_search(n_points=3, n_iter=7, n_jobs=2).fit(X, Y)
    assert len(trials(search)) == 7
    spaces = [({"C": (0.1, 1.0)}, 3), {"C": Real(1.0, 10.0)}]
    search = BayesSearchCV(PlainLogisticRegression(), spaces, n_iter=4, random_state=0).fit(X, Y)
    assert len(search.optimizer_results_) == 2
    values = [params["C"] for params, _ in ((dict(p), s) for p, s in trials(search))]
    assert all(value <= 1 for value in values[:3])
    assert all(value >= 1 for value in values[3:])
    assert spaces[1]["C"].name is None


def test_categories_of_any_kind():
    class Half(Ridge):
        def score(self, X, y, sample_weight=None):
            return float(self.solver == (8, 8)) - self.alpha

        def fit(self, X, y):
            return self

    choices = [(8,), (16, 4), None, "auto", 0.5, (8, 8)]
    space = {"solver": choices, "alpha": (0.0, 1.0)}
    search = BayesSearchCV(Half(), space, n_iter=18, cv=2, random_state=0, **QUICK).fit(X, Y)
    assert search.best_params_["solver"] == (8, 8)
    result = search.optimizer_results_[0]
    assert result.x == [search.best_params_[name] for name in ("alpha", "solver")]
    assert {point[1] for point in result.x_iters} <= set(choices)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_and_event_numbers_travel(routing):
    rng = np.random.default_rng(0)
    weight = np.where(rng.random(120) < 0.15, -1.0, 1.0)
    groups = np.arange(120)
    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y, sample_weight=None, groups=None):
            seen.append(sample_weight.sum())
            return super().fit(X, y, sample_weight=sample_weight)

    cv = EventNumberKFold(3)
    with sklearn.config_context(enable_metadata_routing=routing):
        search = BayesSearchCV(
            Spy(negative_weights="keep"),
            {"C": (0.1, 10.0)},
            n_iter=2,
            cv=cv,
            scoring=roc_auc_scorer(),
            random_state=0,
        )
        search.fit(X, Y, sample_weight=weight, groups=groups)
    parts = [weight[train].sum() for train, _ in cv.split(X, Y, groups)]
    np.testing.assert_allclose(seen, [*parts, *parts, weight.sum()])


def test_without_groups_and_with_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        assert make_search(n_iter=2).fit(X, Y, groups=None).best_score_ > 0.5


def test_several_metrics():
    search = make_search(scoring={"a": "accuracy", "r": "roc_auc"}, refit="r", n_iter=6)
    search.fit(X, Y)
    assert search.best_score_ == max(search.cv_results_["mean_test_r"])
    assert "mean_test_a" in search.cv_results_
    with pytest.raises(ValueError, match="refit"):
        clone(search).set_params(refit=True).fit(X, Y)


def test_train_scores_are_ranked():
    search = make_search(return_train_score=True, n_iter=4).fit(X, Y)
    assert search.cv_results_["rank_train_score"].min() == 1


def test_failed_trials_count_as_the_worst():
    space = {"C": (-1.0, 1.0)}  # a negative C is refused by the model
    search = BayesSearchCV(
        PlainLogisticRegression(), space, n_iter=14, cv=2, random_state=0, error_score=np.nan
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert 0 < np.isnan(scores).sum() < 14
    assert search.best_params_["C"] > 0


def test_callback_and_time_limit_end_the_search():
    counter = Counter(stop_at=3)
    search = make_search(callback=counter).fit(X, Y)
    assert (len(trials(search)), search.stopped_by_) == (3, "callback")
    search = make_search(time_limit=1e-9).fit(X, Y)
    assert (len(trials(search)), search.stopped_by_) == (1, "time_limit")


def test_progress_bar(capsys):
    make_search(verbose=1, n_iter=2).fit(X, Y)
    printed = capsys.readouterr()
    assert "best=0." in printed.err
    assert "Fitting" not in printed.out


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"acquisition": "hedge"}, {"n_points": 3}, {"surrogate": TREES}],
    ids=["GP", "three at once", "trees"],
)
def test_a_resumed_search_has_the_same_trials(tmp_path, options):
    whole = make_search(**options).fit(X, Y)
    for stop_at in (1, 2, None):
        check_resumed(whole, tmp_path / f"{stop_at}", options, stop_at)


def check_resumed(whole, file, options, stop_at):
    first = make_search(checkpoint=file, callback=Counter(stop_at), **options).fit(X, Y)
    calls = Counter()

    class Spy(PlainLogisticRegression):
        def fit(self, X, y):
            calls(None)
            return super().fit(X, y)

    resumed = make_search(checkpoint=file, **options)
    Spy.__qualname__ = "LogisticRegression"
    resumed.estimator = Spy()
    resumed.fit(X, Y)
    assert trials(resumed) == trials(whole)
    assert resumed.best_params_ == whole.best_params_
    n_missing = len(trials(whole)) - len(trials(first))
    # all recorded: the last batch is trained again, for scikit-learn wants to see one
    assert calls.n <= 3 * (n_missing or options.get("n_points", 1)) + 1


def test_a_finished_search_goes_on_with_more_trials(tmp_path):
    make_search(checkpoint=tmp_path / "t", n_iter=6).fit(X, Y)
    more = make_search(checkpoint=tmp_path / "t", n_iter=9).fit(X, Y)
    assert trials(more) == trials(make_search(n_iter=9).fit(X, Y))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A search, its file, and what is in it."""
    file = tmp_path_factory.mktemp("recorded") / "trials"
    return make_search(checkpoint=file, n_iter=2).fit(X, Y), file, file.read_bytes()


def test_without_a_seed_the_recorded_one_is_used(tmp_path):
    options = {"checkpoint": tmp_path / "t", "random_state": None}
    first = make_search(n_iter=3, **options).fit(X, Y)
    second = make_search(n_iter=6, **options).fit(X, Y)
    assert trials(second)[:3] == trials(first)
    assert second.random_state_ == first.random_state_


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.set_params(cv=4), "cv"),
        (lambda s: s.set_params(estimator__max_iter=50), "estimator"),
        (lambda s: s.set_params(random_state=1), "random_state"),
        (lambda s: s.set_params(search_spaces={"C": (0.1, 1.0)}), "search_spaces"),
        (lambda s: s.set_params(scoring="roc_auc"), "scoring"),
    ],
)
def test_the_file_of_another_search_is_refused_and_untouched(recorded, change, named):
    search, file, content = clone(recorded[0]), *recorded[1:]
    with pytest.raises(ValueError, match=rf"another search \(other {named}\)"):
        change(search).fit(X, Y)
    with pytest.raises(ValueError, match="data"):
        make_search(checkpoint=file, n_iter=2).fit(X + 1, Y)
    assert file.read_bytes() == content


def test_a_damaged_file_gives_its_last_valid_state(tmp_path):
    file = tmp_path / "trials"
    make_search(checkpoint=file, n_iter=4).fit(X, Y)
    content = file.read_bytes()
    whole = trials(make_search(n_iter=6).fit(X, Y))
    for damaged in (content[:-7], content[:-1], content[:-200] + b"x" + content[-199:]):
        file.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged after [23] batches"):
            resumed = make_search(checkpoint=file, n_iter=6).fit(X, Y)
        assert trials(resumed) == whole
    file.write_bytes(content[:40])  # killed within the first line
    assert len(trials(make_search(checkpoint=file, n_iter=2).fit(X, Y))) == 2
    file.write_text("my notes\n")
    with pytest.raises(ValueError, match="left as it is"):
        make_search(checkpoint=file, n_iter=4).fit(X, Y)
    assert file.read_text() == "my notes\n"


RUN = """
import time
import numpy as np
from sklearn.linear_model import LogisticRegression
from skhep_ml.model_selection import BayesSearchCV

class Slow(LogisticRegression):
    def fit(self, X, y):
        time.sleep({pause})
        return super().fit(X, y)

rng = np.random.default_rng(0)
X = rng.normal(size=(100, 3))
y = (X[:, 0] + rng.normal(size=100) > 0).astype(int)
space = {{"C": (1e-3, 1e3, "log-uniform"), "fit_intercept": [True, False]}}
search = BayesSearchCV(Slow(), space, n_iter=7, n_initial_points=5, cv=2, random_state=3,
                       checkpoint={file!r})
search.fit(X, y)
"""


def test_killed_at_three_moments_it_ends_as_if_never_interrupted(tmp_path):
    def uninterrupted(file):
        names = {"__name__": "__main__"}
        exec(RUN.format(file=str(file), pause=0), names)
        return trials(names["search"])

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = uninterrupted(tmp_path / "whole")
    file = tmp_path / "killed"
    for n_lines in (1, 3, 7):  # the header counts
        script = RUN.format(file=str(file), pause=0.1)
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        until = time.monotonic() + 60
        while not file.exists() or file.read_bytes().count(b"\n") < n_lines:
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
    assert uninterrupted(file) == whole


# --- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search_spaces": {"CC": (0.1, 1.0)}}, "'CC', no parameter .* did you mean 'C'"),
        ({"search_spaces": {"C": 3}}, r"\['C'\] = 3 is no range: write \(low, high\)"),
        ({"search_spaces": {"C": loguniform(0.1, 1)}}, "nor a distribution of scipy"),
        ({"search_spaces": {"C": (1.0, 0.1)}}, "lower bound 1.0 has to be less"),
        ({"checkpoint": "."}, "is a folder: name a file"),
        ({"search_spaces": {}}, "empty space"),
        ({"search_spaces": []}, "is empty"),
        ({"search_spaces": [3]}, "dicts or pairs"),
        ({"n_iter": 0}, "n_iter must be a positive integer"),
        ({"surrogate": "gp"}, "surrogate must be one of"),
        ({"acquisition": "gp"}, "acquisition must be one of"),
        ({"time_limit": 0}, "time_limit must be a positive"),
        ({"refit": lambda results: 0}, "refit may not be callable"),
        ({"checkpoint": "no/such/folder/t"}, "does not exist"),
        ({"checkpoint": "t", "random_state": np.random.RandomState(0)}, "integer or None"),
    ],
)
def test_wrong_parameters(options, message):
    search = make_search().set_params(**options)
    with pytest.raises((ValueError, OSError), match=message):
        search.fit(X, Y)


# --- search_space ---------------------------------------------------------------------------------


def test_search_space_walks_pipelines():
    model = make_pipeline(MissingValueImputer(), StandardScaler(), BDTClassifier())
    space = search_space(model)
    assert space["bdtclassifier__learning_rate"][2] == "log-uniform"
    assert "missingvalueimputer__strategy" in space
    assert search_space(SVC())["C"] == (1e-2, 1e3, "log-uniform")
    with pytest.raises(ValueError, match="StandardScaler"):
        search_space(StandardScaler())


def test_search_space_is_the_default():
    search = BayesSearchCV(LogisticRegression(), n_iter=2, random_state=0).fit(X, Y)
    assert list(search.best_params_) == ["C"]


def test_dimensions_of_scikit_optimize():
    space = {"C": Real(0.1, 10, prior="log-uniform"), "max_iter": Integer(50, 150)}
    search = BayesSearchCV(PlainLogisticRegression(), space, n_iter=3, random_state=0).fit(X, Y)
    assert isinstance(search.best_params_["max_iter"], int)
