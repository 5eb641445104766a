"""From events and fitted models to the numbers of a report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skhep_ml.inspection import event_overlap, permutation_importances
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.plotting import Blind, OvertrainingDisplay, RocDisplay
from skhep_ml.plotting._blind import bool_mask
from skhep_ml.report._events import Sample, check_parts, check_sample, yield_weights
from skhep_ml.report._models import (
    Scored,
    rotating_part,
    scored,
    scores_of,
    search_part,
    searches_by_fold,
    seen_scores,
)
from skhep_ml.report._numbers import (
    BACKGROUND_UNCERTAINTIES,
    MIN_EFFECTIVE_BACKGROUND,
    Judged,
    auc_difference,
    fold_spread,
    overtraining,
    performance,
    search_table,
    significance,
    weight_table,
    working_point,
)
from skhep_ml.report._study import Recorded, Study

#: Relative background uncertainty at which the working point is chosen.
WORKING_UNCERTAINTY = 0.05
#: Events whose features are shuffled: as many as are needed to rank, not to measure.
MAX_IMPORTANCE_EVENTS = 5_000


def measure(
    models: Mapping[str, Any],
    sample: Sample,
    *,
    test: Sample | None,
    train: Any,
    class_yields: Mapping[Any, float] | None,
    variables: Mapping[str, NDArray[np.float64]],
    feature_names: list[str] | None,
    style: str | None,
    with_ranking: bool,
) -> tuple[Study, list[str]]:
    """All numbers, and what must be said about how they were found.

    The cut is chosen on half of the sample, or on all of it where there are test events, on which
    everything is then quoted.
    """
    pos_label = sample.label[sample.signal][0]
    chosen = [scored(name, model, sample, pos_label) for name, model in models.items()]
    expected = yield_weights(sample, class_yields)
    quoted = sample.halves()
    if test is None:
        judged, ones = sample, chosen
        choose_rows = ~quoted
        n_chosen = int(choose_rows.sum())
        chosen_on = f"{n_chosen:,} of the events, split from the others by "
        chosen_on += "their turn" if sample.groups is None else "event number"
    else:
        judged = test
        ones = [scored(name, model, test, pos_label) for name, model in models.items()]
        choose_rows = np.ones(len(sample), dtype=np.bool_)
        quoted = np.ones(len(test), dtype=np.bool_)
        chosen_on = sample.described()
    totals = class_yields
    if totals is None and test is None:
        totals = {
            label: float(sample.weight[sample.label == label].sum())
            for label in np.unique(sample.label)
        }
    if class_yields is not None:
        yields_from = "their weights, scaled to class_yields"
    elif test is None:
        yields_from = "their weights, scaled to the sums before the split"
    else:
        yields_from = "their weights"
    study = Study(
        sample=judged,
        models=ones,
        expected=expected if test is None else yield_weights(test, class_yields),
        quoted=quoted,
        quoted_expected=np.zeros(len(judged)),
        chosen_on=chosen_on,
        yields_from=yields_from,
        pos_label=pos_label,
        numbers={},
        feature_names=feature_names,
        variables=variables,
        style=style,
    )
    numbers, warnings = study.numbers, []
    numbers["sample"] = _sample_numbers(study, choose_rows)
    numbers["settings"] = {
        "working_uncertainty": WORKING_UNCERTAINTY,
        "min_effective_background": MIN_EFFECTIVE_BACKGROUND,
        "background_uncertainties": list(BACKGROUND_UNCERTAINTIES),
        "salt": 0,
    }
    study.roc = [
        RocDisplay._make(
            judged.signal, one.score, sample_weight=judged.weight, pos_label=None, name=one.name
        )
        for one in ones
    ]
    numbers["models"] = {
        one.name: _model_numbers(one, judged, roc) for one, roc in zip(ones, study.roc, strict=True)
    }
    numbers["auc_difference"] = _difference(study)
    numbers["significance"], numbers["working_point"] = {}, None
    try:
        part = sample.take(choose_rows)
        choose_weight = yield_weights(part, totals)
        study.quoted_expected[quoted] = yield_weights(judged.take(quoted), totals)
    except ValueError as error:
        warnings.append(f"No expected significance: {error}.")
        numbers["significance"] = {one.name: None for one in ones}
    else:
        for before, one in zip(chosen, ones, strict=True):
            first: Judged = (part.signal, before.score[choose_rows], choose_weight)
            last: Judged = (
                judged.signal[quoted],
                one.score[quoted],
                study.quoted_expected[quoted],
            )
            try:
                numbers["significance"][one.name] = significance(first, last)
            except ValueError as error:
                numbers["significance"][one.name] = None
                warnings.append(f"No expected significance of {one.name}: {error}.")
        found = numbers["significance"][study.first.name]
        if found is not None:
            numbers["working_point"] = working_point(
                judged.take(quoted),
                study.first.score[quoted],
                study.quoted_expected[quoted],
                found[f"{WORKING_UNCERTAINTY:g}"]["cut"],
            )
    numbers["weights"] = weight_table(judged, judged.weight)
    numbers["search"] = {
        name: search_table(search_part(model), searches_by_fold(model))
        for name, model in models.items()
        if search_part(model) is not None
    }
    numbers["overtraining"] = None
    warnings += _check_overtraining(study, train)
    for one in ones:
        if rotating_part(one.model) is not None and one.fold is None:
            warnings.append(
                f"{one.name} was fitted or asked without event identifiers: each event is scored "
                "by the mean of its models, which is too good on events that they were trained on."
            )
    numbers["ranking"] = None
    if with_ranking:
        numbers["ranking"] = _ranking(study)
        numbers["settings"]["importance_events"] = min(len(judged), MAX_IMPORTANCE_EVENTS)
    return study, warnings


def _sample_numbers(study: Study, choose_rows: NDArray[np.bool_]) -> dict[str, Any]:
    sample = study.sample
    return {
        "events": len(sample),
        "chosen_on": int(choose_rows.sum()),
        "quoted_on": int(study.quoted.sum()),
        "weighted": sample.weighted,
        "signal": int(sample.signal.sum()),
        "background": int((~sample.signal).sum()),
        "signal_yield": float(study.expected[sample.signal].sum()),
        "background_yield": float(study.expected[~sample.signal].sum()),
    }


def _model_numbers(one: Scored, sample: Sample, roc: RocDisplay) -> dict[str, Any]:
    auc = (roc.roc_auc, roc.roc_auc_std)
    found = performance(sample.signal, one.score, sample.weight, auc)
    found["folds"] = None
    if one.fold is not None:
        found["folds"] = fold_spread(sample.signal, one.score, sample.weight, one.fold)
    return found


def _difference(study: Study) -> dict[str, Any] | None:
    """AUC of the best model less that of the second."""
    if len(study.models) < 2:
        return None
    auc = {name: found["auc"]["value"] for name, found in study.numbers["models"].items()}
    best, second = sorted(auc, key=lambda name: -auc[name])[:2]
    score = {one.name: one.score for one in study.models}
    sample = study.sample
    found = auc_difference(
        sample.signal, score[best], {second: score[second]}, sample.weight, sample.groups
    )
    return {"models": [best, second], **found[second]}


def _check_overtraining(study: Study, train: Any) -> list[str]:
    """Compare scores of training and other events, if there are training events to be had."""
    one, sample = study.first, study.sample
    warnings = []
    if one.fold is not None:
        second = sample.halves()
        seen = seen_scores(one, sample, study.pos_label)
        first: Judged = (sample.signal[~second], seen[~second], sample.weight[~second])
        last: Judged = (sample.signal[second], one.score[second], sample.weight[second])
        how = (
            "Training: one half of the events, scored by models that were trained on them; test: "
            "the other half, scored by models that were not."
        )
    elif train is not None:
        events = check_sample("training", **check_parts("train", train), pos_label=study.pos_label)
        score = scores_of(one.model, events.X, events.groups, study.pos_label)
        first = (events.signal, score, events.weight)
        last = (sample.signal, one.score, sample.weight)
        how = f"Training: {events.described()}; test: the events of the report."
        if events.groups is not None and sample.groups is not None:
            shared = event_overlap(events.groups, sample.groups)
            if shared.n_shared:
                warnings.append(
                    f"{shared.n_shared:,} events of the report were trained on: all numbers of "
                    "models that do not rotate are too good."
                )
    else:
        return []
    display = OvertrainingDisplay.from_predictions(
        *first[:2],
        *last[:2],
        sample_weight_train=first[2],
        sample_weight_test=last[2],
        name=one.name,
        **study.look(),
    )
    ks = {"signal": display.ks_signal, "background": display.ks_background}
    study.numbers["overtraining"] = overtraining(first, last, ks)
    study.overtraining, study.overtraining_how = display, how
    return warnings


def _ranking(study: Study) -> list[dict[str, Any]] | None:
    """Features by the AUC that is lost when their values are dealt to other events."""
    columns = study.columns()
    if not columns:
        return None
    sample, rows = study.sample, np.arange(len(study.sample))
    if len(rows) > MAX_IMPORTANCE_EVENTS:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:MAX_IMPORTANCE_EVENTS])
    part = sample.take(rows)
    other = part.label[~part.signal][0]
    found = permutation_importances(
        study.first.model,
        part.X,
        np.where(part.signal, study.pos_label, other),
        sample_weight=part.weight,
        groups=part.groups,
        scoring=roc_auc_scorer(pos_label=study.pos_label),
        features={name: [position] for name, position in columns},
        n_replicas=0,
    )
    order = np.argsort(-found.mean, kind="stable")
    return [
        {"feature": found.names[k], "value": float(found.mean[k]), "std": float(found.std[k])}
        for k in order
    ]


def split_recorded(
    X: Any, is_data: Any, arrays: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], tuple[Any, Any] | None]:
    """Part simulated from recorded events.

    Returns X and the arrays of the first, and X and the identifiers of the others, if there are
    any.
    """
    n_events = _num_samples(X)
    mask = bool_mask(is_data, n_events, "is_data")
    simulated, recorded = np.flatnonzero(~mask), np.flatnonzero(mask)
    parts = {}
    for name, values in arrays.items():
        if values is not None and len(values) != n_events:
            msg = f"{name} has {len(values)} entries, but X has {n_events} events"
            raise ValueError(msg)
        parts[name] = None if values is None else _safe_indexing(values, simulated)
    groups = arrays.get("groups")
    others = None
    if len(recorded):
        events = None if groups is None else _safe_indexing(groups, recorded)
        others = (_safe_indexing(X, recorded), events)
    return _safe_indexing(X, simulated), parts, others


def visible_recorded(study: Study, X: Any, groups: Any, blind: Blind) -> Recorded:
    """Recorded events that no model's score blinds; the others are dropped here.

    Nothing about them leaves this function.
    """
    sample = study.sample
    n_simulated, n_recorded = len(sample), _num_samples(X)
    is_data = np.repeat([False, True], [n_simulated, n_recorded])
    is_signal = np.concatenate([sample.signal, np.zeros(n_recorded, np.bool_)])
    weight = np.concatenate([study.expected, np.ones(n_recorded)])
    region = np.zeros(len(is_data), np.bool_)
    score = np.empty(0)
    for one in reversed(study.models):
        score = scores_of(one.model, X, groups, study.pos_label)
        options: dict[str, Any] = {"is_signal": is_signal, "sample_weight": weight}
        if blind.on_score:
            both = np.concatenate([one.score, score])
            region |= blind.region(both, is_data, **options)
        else:
            none = np.zeros(n_simulated, np.bool_)
            region[:n_simulated] |= blind.region(one.score, none, X=sample.X)
            region[n_simulated:] |= blind.region(score, ~np.zeros(n_recorded, np.bool_), X=X)
    shown = np.flatnonzero(~region[n_simulated:])
    return Recorded(_safe_indexing(X, shown), score[shown], blind, ~region[:n_simulated])
