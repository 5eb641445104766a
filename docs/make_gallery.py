"""Pictures of the gallery: ``python docs/make_gallery.py FOLDER`` writes them, one a function.

The tests compare the same pictures with references. All is made of a toy sample with a known
seed, so that nothing depends on training.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skhep_ml import plotting
from skhep_ml.datasets import make_resonance_search
from skhep_ml.inspection import evaluate_systematics
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import optimize_binning
from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.plotting import Blind


class Toy(NamedTuple):
    """Events of signal H and of background Z and W, in part with negative weights."""

    y: np.ndarray
    process: np.ndarray
    weight: np.ndarray
    event: np.ndarray
    mass: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    n_jets: np.ndarray
    bdt: np.ndarray
    cuts: np.ndarray

    def features(self):
        """Columns that a model would learn from."""
        return np.column_stack([self.mass, self.pt, self.eta, self.n_jets])


FEATURES = ["mass", "pt", "eta", "n_jets"]


def make_toy(seed=0, n=6000):
    """Draw the sample."""
    rng = np.random.default_rng(seed)
    process = np.where(rng.random(n) < 0.4, "H", np.where(rng.random(n) < 0.7, "Z", "W"))
    y = (process == "H").astype(int)
    mass = np.where(y == 1, rng.normal(125, 12, n), 60 + rng.exponential(50, n))
    pt = rng.exponential(30 + 20 * y, n) + 20
    eta = rng.normal(0, 1.5 - 0.3 * y, n)
    n_jets = rng.poisson(1.2 + 0.8 * y + pt / 150)
    peak = np.exp(-(((mass - 125) / 25) ** 2))
    bdt = 1 / (1 + np.exp(-rng.normal(1.3 * y - 1 + 0.6 * peak, 1.0)))
    cuts = 1 / (1 + np.exp(-rng.normal(y - 0.5, 1.0)))
    yields = {"H": 0.05, "Z": 2.0, "W": 1.0}
    weight = np.array([yields[one] for one in process]) * np.where(rng.random(n) < 0.1, -1, 1)
    return Toy(y, process, weight, np.arange(n), mass, pt, eta, n_jets, bdt, cuts)


toy, other = make_toy(0), make_toy(1)


def rotating_model():
    """Train three models, each on two folds of the toy sample."""
    model = RotatingClassifier(LogisticRegression(), n_splits=3)
    return model.fit(toy.features(), toy.y, groups=toy.event)


def search_results():
    """Trials of a random search whose score is a known function of its parameters."""
    rng = np.random.default_rng(2)
    rate, depth = 10 ** rng.uniform(-3, 0, 40), rng.integers(2, 11, 40)
    policy = rng.choice(["keep", "cell", "drop"], 40)
    score = 0.9 - 0.05 * (np.log10(rate) + 1.2) ** 2 - 0.002 * (depth - 6) ** 2
    score += np.where(policy == "drop", -0.02, 0.0) + rng.normal(0, 0.004, 40)
    names = ("learning_rate", "max_depth", "negative_weights")
    points = zip(rate, depth, policy, strict=True)
    return {
        "params": [dict(zip(names, one, strict=True)) for one in points],
        "mean_test_score": score,
        "std_test_score": np.full(40, 0.01),
        **{f"split{k}_test_score": score for k in range(5)},
    }


def loss_curves():
    """Loss of three folds that stop early at different epochs."""
    rng = np.random.default_rng(3)
    curves = {"train_loss": [], "valid_loss": []}
    for n_epochs in (36, 40, 48):
        epoch = np.arange(n_epochs)
        for part, floor, rise in (("train", 0.40, 0.0), ("valid", 0.46, 0.0008)):
            fall = 0.25 * np.exp(-epoch / 9) + rise * epoch
            curves[f"{part}_loss"].append(floor + fall + rng.normal(0, 0.006, n_epochs))
    return curves


# --- performance ------------------------------------------------------------------------------


def roc():
    return plotting.RocDisplay.from_predictions(
        toy.y, toy.bdt, sample_weight=toy.weight, name="BDT"
    )


def rejection():
    return plotting.RejectionDisplay.from_scores(
        toy.y, {"BDT": toy.bdt, "Cuts": toy.cuts}, sample_weight=toy.weight
    )


def folds():
    return plotting.RocDisplay.from_folds(
        rotating_model(), toy.features(), toy.y, sample_weight=toy.weight, groups=toy.event
    )


def precision_recall():
    return plotting.PrecisionRecallDisplay.from_predictions(
        toy.y, toy.bdt, sample_weight=toy.weight, name="BDT"
    )


def calibration():
    return plotting.CalibrationDisplay.from_predictions(toy.y, toy.bdt, name="BDT")


def confusion():
    return plotting.ConfusionDisplay.from_predictions(
        toy.process,
        np.where(toy.bdt > 0.5, "H", np.where(toy.n_jets > 2, "W", "Z")),
        sample_weight=toy.weight,
        normalize="true",
    )


def significance():
    return plotting.SignificanceDisplay.from_predictions(
        toy.y, toy.bdt, sample_weight=toy.weight, name="BDT"
    )


def cms_style():
    return plotting.RejectionDisplay.from_predictions(
        toy.y, toy.bdt, sample_weight=toy.weight, name="BDT", style="CMS"
    )


# --- score ------------------------------------------------------------------------------------


def score():
    return plotting.ScoreDisplay.from_predictions(
        toy.bdt, toy.process, sample_weight=toy.weight, signal="H", name="BDT"
    )


def score_of_data():
    chance = np.abs(other.weight) / np.abs(other.weight).sum()
    n_data = np.random.default_rng(6).poisson(toy.weight.sum())
    data = np.random.default_rng(6).choice(other.bdt, n_data, p=chance)
    return plotting.ScoreDisplay.from_predictions(
        np.concatenate([toy.bdt, data]),
        np.concatenate([toy.process, np.full(n_data, "data")]),
        sample_weight=np.concatenate([toy.weight, np.ones(n_data)]),
        is_data=np.repeat([False, True], [len(toy.y), n_data]),
        blind=Blind("score > 0.7"),
        signal="H",
        name="BDT",
    )


def best_binning():
    binning = optimize_binning(toy.y, toy.bdt, sample_weight=toy.weight, max_bins=8)
    return plotting.ScoreDisplay.from_predictions(
        toy.bdt,
        toy.process,
        sample_weight=toy.weight,
        signal="H",
        bins=binning.edges,
        equal_steps=True,
        name="BDT",
    )


def overtraining():
    return plotting.OvertrainingDisplay.from_predictions(
        toy.y,
        toy.bdt,
        other.y,
        other.bdt,
        sample_weight_train=toy.weight,
        sample_weight_test=other.weight,
        name="BDT",
    )


def overtraining_of_folds():
    return plotting.OvertrainingDisplay.from_folds(
        rotating_model(), toy.features(), toy.y, sample_weight=toy.weight, groups=toy.event
    )


# --- dependence on other variables ------------------------------------------------------------


def flatness():
    return plotting.FlatnessDisplay.from_predictions(
        toy.y, toy.bdt, toy.pt, uniform_label=1, variable_name="$p_T$ (GeV)"
    )


def flatness_in_jets():
    return plotting.FlatnessDisplay.from_predictions(
        toy.y,
        toy.bdt,
        toy.n_jets,
        uniform_label=0,
        cuts=[0.3, 0.6],
        bins=12,
        variable_name="Number of jets",
        name="Background",
    )


def sculpting():
    return plotting.SculptingDisplay.from_predictions(
        toy.y,
        toy.bdt,
        toy.mass,
        bins=np.arange(60, 261, 10),
        sample_weight=toy.weight,
        variable_name="Mass (GeV)",
    )


def significance_improvement():
    scores = {"BDT": toy.bdt, "Cuts": toy.cuts}
    return plotting.SignificanceImprovementDisplay.from_scores(
        toy.y, scores, sample_weight=toy.weight, ratio=False
    )


def bump():
    events = make_resonance_search(50_000, random_state=0)
    return plotting.BumpHuntDisplay.from_predictions(
        events.data[:, -1],
        events.log_likelihood_ratio,
        signal_region=events.signal_region,
        efficiency=0.005,
        variable_name="Dijet mass (GeV)",
    )


def parity():
    rng = np.random.default_rng(4)
    response = rng.normal(1.0 + 0.02 * np.log(toy.pt / 50), 0.8 / np.sqrt(toy.pt))
    return plotting.ParityDisplay.from_predictions(
        toy.pt,
        toy.pt * response,
        sample_weight=toy.weight,
        relative=True,
        target="$p_T$ (GeV)",
        name="Regression",
    )


# --- training ---------------------------------------------------------------------------------


def learning_curve():
    return plotting.LearningCurveDisplay.from_curves(loss_curves(), step_name="Epoch")


def training_size():
    sizes = np.array([500, 1000, 2000, 4000, 8000])
    rng = np.random.default_rng(5)
    train = 0.88 + 3 / np.sqrt(sizes)[:, None] * 0.4 + rng.normal(0, 0.004, (5, 5))
    test = 0.88 - 3 / np.sqrt(sizes)[:, None] * 0.5 + rng.normal(0, 0.004, (5, 5))
    return plotting.LearningCurveDisplay.from_learning_curve(sizes, train, test, quantity="AUC")


def search_convergence():
    return plotting.SearchDisplay.from_cv_results(search_results(), name="Random search")


def search_dependence():
    return plotting.SearchDisplay.from_cv_results(search_results(), "dependence")


def search_importance():
    return plotting.SearchDisplay.from_cv_results(search_results(), "importance")


# --- inputs -----------------------------------------------------------------------------------


def feature():
    return plotting.FeatureDisplay.from_arrays(
        toy.mass, toy.y, sample_weight=toy.weight, name="Mass (GeV)"
    )


def correlation():
    return plotting.CorrelationDisplay.from_data(
        toy.features(), toy.process, labels="H", feature_names=FEATURES
    )


def correlation_difference():
    return plotting.CorrelationDisplay.from_data(
        toy.features(), toy.process, labels=("H", "Z"), feature_names=FEATURES
    )


def importance():
    return plotting.ImportanceDisplay.from_importances(
        FEATURES, [0.12, 0.05, 0.01, 0.03], [0.004, 0.004, 0.003, 0.004], name="AUC lost"
    )


def missing():
    table = toy.features()
    table[toy.n_jets == 0, 1:3] = np.nan
    return plotting.MissingDisplay.from_arrays(
        table, toy.y, sample_weight=np.abs(toy.weight), feature_names=FEATURES
    )


def trend():
    run = toy.event // 250
    return plotting.TrendDisplay.from_data(
        toy.pt + 0.4 * run, run, n_bins=12, feature_names=["pt"], order_name="run"
    )


def reweighting():
    return plotting.ReweightingDisplay.from_weights(
        np.exp(-toy.pt / 80),
        toy.features()[:, :2],
        other.features()[:, :2],
        target_weight=np.exp(-other.pt / 80),
        feature_names=FEATURES[:2],
        bins=25,
    )


def systematics():
    model = LogisticRegression().fit(toy.features(), toy.y)
    shifted = [toy.features() * [scale, 1, 1, 1] for scale in (1.03, 0.97)]
    result = evaluate_systematics(
        model,
        toy.features(),
        {"energy scale": tuple(shifted)},
        y=toy.y,
        sample_weight=toy.weight,
        groups=toy.event,
        process=toy.process,
        bins=np.linspace(0.2, 0.8, 9),
        n_replicas=10,
    )
    return plotting.SystematicsDisplay.from_result(result)


PICTURES = {
    make.__name__: make
    for make in (
        roc,
        rejection,
        folds,
        precision_recall,
        calibration,
        confusion,
        significance,
        cms_style,
        score,
        score_of_data,
        best_binning,
        overtraining,
        overtraining_of_folds,
        flatness,
        flatness_in_jets,
        sculpting,
        significance_improvement,
        bump,
        parity,
        learning_curve,
        training_size,
        search_convergence,
        search_dependence,
        search_importance,
        feature,
        correlation,
        correlation_difference,
        importance,
        missing,
        trend,
        reweighting,
        systematics,
    )
}


def main(folder, dpi=90):
    """Write all pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PICTURES.items():
        display = make()
        display.figure_.savefig(folder / f"{name}.png", dpi=dpi)
        pyplot.close(display.figure_)


if __name__ == "__main__":
    main(sys.argv[1])
