"""Reports on regressors: predictions against truth, bias, resolution, response and pulls."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.utils.validation import _num_samples

from skhep_ml._format import number, with_error
from skhep_ml._response import model_response, predicts_by_groups
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.inspection import permutation_importances
from skhep_ml.metrics import (
    bias_score,
    bootstrap,
    pull_summary,
    resolution_score,
    response_profile,
)
from skhep_ml.metrics._base import check_score
from skhep_ml.plotting import CorrelationDisplay, ParityDisplay
from skhep_ml.report import _back, _inputs
from skhep_ml.report._blocks import Block, Figure, Section, Table
from skhep_ml.report._events import Sample
from skhep_ml.report._figures import response_curves
from skhep_ml.report._measure import MAX_IMPORTANCE_EVENTS
from skhep_ml.report._models import (
    Scored,
    folds_of,
    rotating_part,
    search_part,
    searches_by_fold,
)
from skhep_ml.report._numbers import N_REPLICAS, search_table, weight_table
from skhep_ml.report._study import Study
from skhep_ml.report._verdict import DISTINCT

#: Numbers of a regressor, in the order in which they are shown.
QUANTITIES = ("resolution", "bias", "mean absolute error", "R²")
#: Bins of a variable, of equal numbers of events.
N_BINS = 10


def regression_sample(X: Any, y: Any, sample_weight: Any, groups: Any) -> Sample:
    """Check arrays of one length; all events are of one kind."""
    n_events = _num_samples(X)
    target = np.asarray(y)
    if target.shape != (n_events,):
        msg = f"y has shape {target.shape}, but X has {n_events} events"
        raise ValueError(msg)
    target = np.asarray(check_score(target, name="y"), dtype=np.float64)
    weight = check_event_weight(sample_weight, n_events)
    event = None if groups is None else np.column_stack(check_event_id(groups, n_events))
    used = np.ones(n_events) if weight is None else weight
    name = np.full(n_events, "all")
    none = np.zeros(n_events, dtype=np.bool_)
    return Sample("", X, target, none, used, name, event, weight is not None)


def measure_regression(
    models: Mapping[str, Any],
    sample: Sample,
    *,
    variables: Mapping[str, NDArray[np.float64]],
    feature_names: list[str] | None,
    style: str | None,
    with_ranking: bool,
) -> tuple[Study, list[str]]:
    """All numbers of a report on regressors, and what must be said about how they were found."""
    ones = []
    for name, model in models.items():
        known = sample.groups if predicts_by_groups(model, ("predict",)) else None
        predicted, _ = model_response(model, sample.X, known, ("predict",))
        if predicted.shape != sample.label.shape:
            msg = f"model {name!r} predicts {predicted.shape[1:]} values: a report is on one"
            raise ValueError(msg)
        predicted = np.asarray(check_score(predicted, name=f"the prediction of {name}"))
        fold = folds_of(model, sample.X, sample.groups)
        ones.append(Scored(name, model, predicted.astype(np.float64), fold, False))
    study = Study(
        sample=sample,
        models=ones,
        expected=sample.weight,
        quoted=np.ones(len(sample), dtype=np.bool_),
        quoted_expected=sample.weight,
        chosen_on="",
        yields_from="",
        pos_label=None,
        numbers={},
        feature_names=feature_names,
        variables=variables,
        style=style,
    )
    values, errors, differences = _qualities(study)
    numbers = study.numbers
    numbers["sample"] = {"events": len(sample), "weighted": sample.weighted}
    numbers["models"] = {
        one.name: {
            **{
                name: {"value": float(value), "std": float(std)}
                for name, value, std in zip(QUANTITIES, values[k], errors[k], strict=True)
            },
            "folds": _folds(one, sample),
            "pulls": _pulls(one, sample),
        }
        for k, one in enumerate(ones)
    }
    numbers["resolution_difference"] = differences
    numbers["weights"] = weight_table(sample, sample.weight)
    numbers["search"] = {
        name: search_table(search_part(model), searches_by_fold(model))
        for name, model in models.items()
        if search_part(model) is not None
    }
    numbers["settings"] = {"salt": 0, "replicas": N_REPLICAS}
    numbers["ranking"] = None
    if with_ranking and study.columns():
        numbers["ranking"] = _ranking(study)
        numbers["settings"]["importance_events"] = min(len(sample), MAX_IMPORTANCE_EVENTS)
    warnings = [
        f"{one.name} was fitted or asked without event identifiers: each event is predicted by the "
        "mean of its models, which is too good on events that they were trained on."
        for one in ones
        if rotating_part(one.model) is not None and one.fold is None
    ]
    return study, warnings


def _quality(truth: Any, predicted: Any, weight: Any) -> list[float]:
    return [
        resolution_score(truth, predicted, sample_weight=weight),
        bias_score(truth, predicted, sample_weight=weight),
        float(mean_absolute_error(truth, predicted, sample_weight=weight)),
        float(r2_score(truth, predicted, sample_weight=weight)),
    ]


def _qualities(study: Study) -> tuple[Any, Any, dict[str, Any]]:
    """Numbers of all models with errors, and differences of resolution from the first model."""
    sample = study.sample

    def every(truth: Any, *predicted: Any, sample_weight: Any) -> list[list[float]]:
        return [_quality(truth, one, sample_weight) for one in predicted]

    found = bootstrap(
        every,
        sample.label,
        *(one.score for one in study.models),
        sample_weight=sample.weight,
        groups=sample.groups,
        n_replicas=N_REPLICAS,
        random_state=0,
    )
    resolution = found.replicas[:, :, 0]
    spread = (resolution - resolution[:, :1]).std(axis=0, ddof=1)
    change = found.value[:, 0] - found.value[0, 0]
    differences = {
        one.name: {"value": float(change[k]), "std": float(spread[k])}
        for k, one in enumerate(study.models)
        if k
    }
    return found.value, found.std, differences


def _folds(one: Scored, sample: Sample) -> dict[str, Any] | None:
    """Resolution and bias in every fold of a rotating model."""
    if one.fold is None:
        return None
    rows = []
    for k in np.unique(one.fold):
        here = one.fold == k
        quality = _quality(sample.label[here], one.score[here], sample.weight[here])
        row = {"fold": int(k), "events": int(here.sum())}
        rows.append({**row, **dict(zip(QUANTITIES, quality, strict=True))})
    values = [row["resolution"] for row in rows]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"folds": rows, "mean": float(np.mean(values)), "spread": spread}


def _pulls(one: Scored, sample: Sample) -> dict[str, float] | None:
    """Pulls of a model that predicts its own errors, as Gaussian processes do."""
    if "return_std" not in inspect.signature(one.model.predict).parameters:
        return None
    predicted, std = one.model.predict(sample.X, return_std=True)
    found = pull_summary(sample.label, predicted, std, sample_weight=sample.weight)
    return {name: float(value) for name, value in found._asdict().items()}


def _ranking(study: Study) -> list[dict[str, Any]]:
    """Features by the R² that is lost when their values are dealt to other events."""
    sample, rows = study.sample, np.arange(len(study.sample))
    if len(rows) > MAX_IMPORTANCE_EVENTS:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:MAX_IMPORTANCE_EVENTS])
    part = sample.take(rows)
    found = permutation_importances(
        study.first.model,
        part.X,
        part.label,
        sample_weight=part.weight,
        groups=part.groups,
        scoring="r2",
        features={name: [position] for name, position in study.columns()},
        n_replicas=0,
    )
    order = np.argsort(-found.mean, kind="stable")
    return [
        {"feature": found.names[k], "value": float(found.mean[k]), "std": float(found.std[k])}
        for k in order
    ]


def regression_verdict(results: Mapping[str, Any]) -> str:
    """One line: which model resolves best, how well, and how far off it is."""
    models = results["models"]
    first, *others = models
    what = {name: with_error(**found["resolution"]) for name, found in models.items()}
    parts = [f"{first}: resolution {what[first]}"]
    for name in others:
        difference = results["resolution_difference"][name]
        pull = difference["value"] / difference["std"] if difference["std"] else 0.0
        how = "no better or worse than" if abs(pull) < DISTINCT else "better than"
        how = "worse than" if pull < -DISTINCT else how
        parts.append(f"{how} {name} with {what[name]} ({abs(pull):.1f} standard errors)")
    bias = models[first]["bias"]
    parts.append(f"bias {with_error(**bias)}")
    parts.append(f"R² {with_error(**models[first]['R²'])}")
    return ", ".join(parts[: 1 + len(others)]) + "; " + "; ".join(parts[1 + len(others) :]) + "."


def front_tables(study: Study) -> list[Table]:
    """The numbers of the front page."""
    models = study.numbers["models"]
    labels = {
        "resolution": "Resolution (half the central 68% of residuals)",
        "bias": "Bias (median residual)",
        "mean absolute error": "Mean absolute error",
        "R²": "R²",
    }
    rows = [
        [labels[name], *(with_error(**found[name]) for found in models.values())]
        for name in QUANTITIES
    ]
    if any(found["folds"] for found in models.values()):
        spread = (
            number(found["folds"]["spread"], 2) if found["folds"] else "no folds"
            for found in models.values()
        )
        rows.append(["Spread of the resolution over folds", *spread])
    return [
        Table(
            ["", *models],
            rows,
            f"Residual: prediction less truth. {_caption(study)} Errors: bootstrap by event.",
        )
    ]


def _caption(study: Study) -> str:
    how = study.first.how().replace("scored", "predicted")
    return f"{study.sample.described()}, {how}."


def parity(study: Study) -> Section:
    """Prediction against truth."""
    sample = study.sample
    blocks: list[Block] = []
    for one in study.models:
        found = study.numbers["models"][one.name]
        display = ParityDisplay.from_predictions(
            sample.label, one.score, sample_weight=sample.weight, name=one.name, **study.look(6, 6)
        )
        blocks.append(
            Figure.from_matplotlib(
                display.figure_,
                caption=f"Prediction of {one.name} against truth; below: bias and resolution. "
                f"{_caption(study)}",
                alt=f"Predictions against truth; resolution {with_error(**found['resolution'])}, "
                f"bias {with_error(**found['bias'])}.",
            )
        )
    return Section("Predictions against truth", blocks)


def response(study: Study) -> Section:
    """Bias and resolution against the truth and other variables."""
    sample = study.sample
    blocks: list[Block] = []
    for name, values in {"True value": sample.label, **study.variables}.items():
        finite = np.isfinite(values)
        profiles = {
            one.name: response_profile(
                sample.label[finite],
                one.score[finite],
                values[finite],
                bins=N_BINS,
                sample_weight=sample.weight[finite],
                relative=False,
            )
            for one in study.models
        }
        blocks.append(
            Figure.from_matplotlib(
                response_curves(profiles, name, study.style),
                caption=f"Bias (median residual) and resolution against {name}, in bins of equal "
                f"numbers of events. {_caption(study)}",
                alt=f"Bias and resolution of {', '.join(profiles)} in bins of {name}.",
            )
        )
    return Section("Response", blocks)


def pulls(study: Study) -> Section | None:
    """Pulls of the models that predict their errors."""
    found = {name: one["pulls"] for name, one in study.numbers["models"].items() if one["pulls"]}
    if not found:
        return None
    rows = [
        [
            name,
            with_error(one["mean"], one["mean_std"]),
            with_error(one["width"], one["width_std"]),
            f"{100 * one['coverage']:.1f}%",
        ]
        for name, one in found.items()
    ]
    table = Table(
        ["model", "mean", "width", "within one error"],
        rows,
        f"Pulls: residual over predicted error; 0, 1 and 68.3% where errors are right. "
        f"{_caption(study)}",
    )
    return Section("Pulls", [table])


def folds(study: Study) -> Section | None:
    """Numbers of every fold."""
    rows = [
        [name, str(row["fold"]), f"{row['events']:,}", *(number(row[key], 4) for key in QUANTITIES)]
        for name, one in study.numbers["models"].items()
        for row in (one["folds"] or {"folds": []})["folds"]
    ]
    if not rows:
        return None
    return Section(
        "Folds", [Table(["model", "fold", "events", *QUANTITIES], rows, _caption(study))]
    )


def features(study: Study) -> Section | None:
    """Importances and correlations of the inputs."""
    table = study.table()
    if table is None:
        return None
    blocks: list[Block] = _inputs.importance_blocks(study, "R²")
    if len(table.names) > 1:
        matrix = CorrelationDisplay.from_data(
            study.inputs(),
            sample_weight=study.sample.weight,
            feature_names=None if hasattr(study.inputs(), "columns") else study.feature_names,
            **study.look(*_inputs.heat_map_size(len(table.names)), "compressed"),
        )
        blocks.append(
            Figure.from_matplotlib(
                matrix.figure_,
                caption=f"Correlations of the inputs, weighted by abs(w). "
                f"{study.sample.described()}.",
                alt=f"Matrix of the correlations of {len(table.names)} inputs.",
            )
        )
    return Section("Inputs of the model", blocks) if blocks else None


#: Sections that can be left out, in their order.
SECTIONS: Mapping[str, Callable[[Study], Section | None]] = {
    "Predictions against truth": parity,
    "Response": response,
    "Pulls": pulls,
    "Folds": folds,
    "Learning curves": _inputs.learning_curves,
    "Inputs of the model": features,
    "Data summary": _back.data_summary,
    "Event weights": _back.weights,
    "Search": _back.search,
    "Models": _back.diagrams,
}


def refuse_classifier_arguments(given: Mapping[str, Any]) -> None:
    """Arguments that mean nothing for regressors are errors."""
    wrong = [f"{name}=" for name, value in given.items() if value is not None]
    if wrong:
        msg = f"a report on regressors takes no {', '.join(wrong)}: these are of classes and cuts"
        raise ValueError(msg)
