"""Out-of-fold scores of rotating models, with errors."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from sklearn.base import BaseEstimator, is_classifier
from sklearn.metrics import get_scorer
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skhep_ml._compat import BaseScorer
from skhep_ml._extras import import_extra
from skhep_ml._format import p_value, with_error
from skhep_ml._identifiers import take_id_columns
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics import (
    EventScorer,
    bootstrap,
    confusion_scorer,
    effective_sample_size,
    regression_scorer,
)
from skhep_ml.model_selection._rotating import RotatingClassifier, RotatingRegressor, event_folds


class FoldScore(NamedTuple):
    """One score of a rotating model.

    Attributes
    ----------
    folds : ndarray of shape (n_folds,)
        Score of each model on the fold it never saw.
    fold_errors : ndarray of shape (n_folds,)
        Their statistical errors.
    mean, mean_error : float
        Mean over the folds and its statistical error.
    spread : float
        Standard deviation over the folds.
    p_value : float
        Probability of a chi-square of the folds about their common value as large as this one, if
        statistical errors were all that sets them apart; NaN without errors. Meaningful where
        errors are nearly Gaussian, such as those of an AUC, not for a rejection at its limit.
    pooled, pooled_error : float
        Score of all events together, each predicted by the model that never saw it, and its
        statistical error.
    """

    folds: NDArray[np.float64]
    fold_errors: NDArray[np.float64]
    mean: float
    mean_error: float
    spread: float
    p_value: float
    pooled: float
    pooled_error: float


@dataclass(frozen=True, repr=False, eq=False)
class FoldScores(Mapping[str, FoldScore]):
    """Out-of-fold scores, as `fold_scores` makes them: a mapping of names to `FoldScore`.

    Attributes
    ----------
    n_events : ndarray of int, shape (n_folds,)
        Number of events in each fold.
    effective_size : ndarray of shape (n_folds,)
        (sum w)^2 / sum w^2 of each fold.
    pooled_effective_size : float
        The same of all events.
    scores : dict of str to FoldScore
        The scores.

    See Also
    --------
    fold_scores : Makes it.
    """

    n_events: NDArray[np.intp]
    effective_size: NDArray[np.float64]
    pooled_effective_size: float
    scores: dict[str, FoldScore]

    def __getitem__(self, name: str) -> FoldScore:
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def to_pandas(self) -> Any:
        """Return the scores as a table.

        Returns
        -------
        DataFrame
            One row a fold, then "mean", "spread" and "pooled"; a column of values and a column of
            errors (``"<name>_error"``) for each score, NaN where there is none.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        columns: dict[str, Any] = {}
        for name, s in self.scores.items():
            columns[name] = [*s.folds, s.mean, s.spread, s.pooled]
            columns[f"{name}_error"] = [*s.fold_errors, s.mean_error, np.nan, s.pooled_error]
        index = [*range(len(self.n_events)), "mean", "spread", "pooled"]
        return pandas.DataFrame(columns, index=pandas.Index(index, name="fold"))

    def _rows(self) -> list[list[str]]:
        """Cells of text, the heading first."""
        scores = self.scores.values()
        rows = [["fold", "events", "effective", *self.scores]]
        for k, (n, size) in enumerate(zip(self.n_events, self.effective_size, strict=True)):
            cells = [with_error(float(s.folds[k]), float(s.fold_errors[k])) for s in scores]
            rows.append([str(k), f"{n:,}", f"{size:,.0f}", *cells])
        n, size = f"{self.n_events.sum():,}", f"{self.pooled_effective_size:,.0f}"
        return [
            *rows,
            ["mean", "", "", *(with_error(s.mean, s.mean_error) for s in scores)],
            ["spread", "", "", *(f"{s.spread:.2g} (p {p_value(s.p_value)})" for s in scores)],
            ["pooled", n, size, *(with_error(s.pooled, s.pooled_error) for s in scores)],
        ]

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )

    def _repr_html_(self) -> str:
        head, *body = self._rows()

        def line(cells: list[str], tag: str) -> str:
            return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

        lines = "".join(f"<tr>{line(row[:1], 'th')}{line(row[1:], 'td')}</tr>" for row in body)
        return f"<table><thead><tr>{line(head, 'th')}</tr></thead><tbody>{lines}</tbody></table>"


def _answers_to(method: str) -> Callable[[Any], bool]:
    return lambda stand_in: method in stand_in.answers


class Answered(BaseEstimator):
    """Stand-in for a model that answers a scorer with predictions already made.

    Scorers pass no identifiers, and a bootstrap asks for the same predictions again and again.
    """

    def __init__(self, model: Any, answers: dict[str, NDArray[Any]], rows: Any) -> None:
        self.model = model
        self.answers = answers
        self.rows = rows

    @property
    def classes_(self) -> NDArray[Any]:
        return self.model.classes_

    def predict(self, X: Any) -> NDArray[Any]:
        return self.answers["predict"][self.rows]

    @available_if(_answers_to("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[Any]:
        return self.answers["predict_proba"][self.rows]

    @available_if(_answers_to("decision_function"))
    def decision_function(self, X: Any) -> NDArray[Any]:
        return self.answers["decision_function"][self.rows]

    def __sklearn_tags__(self) -> Tags:
        return get_tags(self.model)


def fold_scores(
    model: RotatingClassifier | RotatingRegressor,
    X: Any,
    y: ArrayLike,
    *,
    scoring: Any = None,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_replicas: int = 200,
    random_state: Any = 0,
    n_jobs: int | None = None,
) -> FoldScores:
    """Score a rotating model on events that none of its predictions has seen.

    Parameters
    ----------
    model : RotatingClassifier or RotatingRegressor
        Fitted with event identifiers.
    X : array-like of shape (n_events, n_features)
        Events, those of the fit or others, with the identifiers among them where the model's
        ``id_columns`` says so.
    y : array-like of shape (n_events,)
        Target.
    scoring : str, scorer, list of str or dict, default=None
        A scorer of `skhep_ml.metrics` or of scikit-learn, or several: a list of scikit-learn's
        names, or a dict of own names to scorers. None takes the accuracy of a classifier, R^2 of a
        regressor.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign if the scorers take them.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers.
    n_replicas : int, default=200
        Replicas of the bootstrap that gives the errors; 0 leaves them out (NaN).
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.
    n_jobs : int, default=None
        Replicas in parallel.

    Returns
    -------
    FoldScores
        A mapping of names to `FoldScore`, with a text and an HTML form and ``to_pandas``.

    Raises
    ------
    TypeError
        The model is none that rotates.
    ValueError
        Missing or wrong identifiers, a model that was fitted without, a fold without events, wrong
        lengths, or what a scorer refuses.

    See Also
    --------
    skhep_ml.metrics.bootstrap : Makes the errors.
    fold_learning_curves : Loss against trees or epochs in every fold.

    Notes
    -----
    The Poisson bootstrap counts entries of one event together. It covers the statistics of the
    scored events, not what another training sample would change; the spread over folds has both,
    but its training samples overlap.

    Pooled scores compare predictions of different models with each other. Where those differ in
    scale, as with decision functions, the pooled score falls below the mean over the folds. Scores
    that search a cut with a floor on background events, such as a significance, find a tighter one
    in all events than in a fold.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.metrics import roc_auc_scorer
    >>> from skhep_ml.model_selection import RotatingClassifier, fold_scores
    >>> rng = np.random.default_rng(0)
    >>> y, event = rng.integers(2, size=2000), np.arange(2000)
    >>> X = rng.normal(y[:, None], size=(2000, 2))
    >>> model = RotatingClassifier(LogisticRegression(), n_splits=3).fit(X, y, groups=event)
    >>> scores = fold_scores(model, X, y, scoring={"auc": roc_auc_scorer()}, groups=event)
    >>> round(scores["auc"].pooled, 2), round(scores["auc"].pooled_error, 3)
    (0.83, 0.008)
    """
    if not isinstance(model, (RotatingClassifier, RotatingRegressor)):
        msg = (
            f"fold_scores needs a fitted RotatingClassifier or RotatingRegressor, got "
            f"{type(model).__name__}: sklearn.model_selection.cross_validate scores other models"
        )
        raise TypeError(msg)
    if n_replicas < 0 or n_replicas == 1:
        msg = f"n_replicas must be 0 or at least 2, got {n_replicas!r}"
        raise ValueError(msg)
    (X,) = indexable(X)
    target = np.asarray(column_or_1d(y))
    check_consistent_length(X, target)
    weight = check_event_weight(sample_weight, len(target))
    fold = event_folds(model, X, groups)
    n_folds = len(model.estimators_)
    n_events = np.bincount(fold, minlength=n_folds)
    if not n_events.all():
        msg = (
            f"fold {int(np.argmin(n_events))} of {n_folds} has none of the {len(target)} events "
            f"(events per fold: {n_events.tolist()}): score more events"
        )
        raise ValueError(msg)
    scorers = check_scorers(model, scoring, weighted=weight is not None or n_replicas > 0)
    if model.id_columns is not None:
        groups = take_id_columns(X, model.id_columns)[1]
        answers = answers_of(model, X, {})
    else:
        answers = answers_of(model, X, {"groups": groups})

    def evaluate(
        rows: NDArray[np.intp], sample_weight: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Scores of the folds and, last, of all rows; shape (n_scores, n_folds + 1)."""
        out = np.empty((len(scorers), n_folds + 1))
        for k in range(n_folds + 1):
            part = slice(None) if k == n_folds else fold[rows] == k
            chosen = rows[part]
            events = _safe_indexing(X, chosen)
            stand_in = Answered(model, answers, chosen)
            given = {} if sample_weight is None else {"sample_weight": sample_weight[part]}
            for j, (name, scorer) in enumerate(scorers.items()):
                try:
                    out[j, k] = scorer(stand_in, events, target[chosen], **given)
                except ValueError as error:
                    where = "all events" if k == n_folds else f"fold {k}"
                    hint = _signed_hint(scorer, sample_weight)
                    msg = f"score {name!r} of {where} ({len(chosen)} events): {error}{hint}"
                    raise ValueError(msg) from error
        return out

    rows = np.arange(len(target))
    if n_replicas:
        result = bootstrap(
            evaluate,
            rows,
            sample_weight=weight,
            groups=groups,
            n_replicas=n_replicas,
            random_state=random_state,
            n_jobs=n_jobs,
        )
        value, error = result.value, result.std
        mean_error = result.replicas[:, :, :-1].mean(axis=2).std(axis=0, ddof=1)
    else:
        value = evaluate(rows, weight)
        error, mean_error = np.full_like(value, np.nan), np.full(len(value), np.nan)
    scores = {
        name: FoldScore(
            folds=v[:-1],
            fold_errors=e[:-1],
            mean=float(v[:-1].mean()),
            mean_error=float(m),
            spread=float(v[:-1].std(ddof=1)),
            p_value=_compatibility(v[:-1], e[:-1]),
            pooled=float(v[-1]),
            pooled_error=float(e[-1]),
        )
        for name, v, e, m in zip(scorers, value, error, mean_error, strict=True)
    }
    counted = np.ones(len(target)) if weight is None else weight
    sizes = [effective_sample_size(counted[fold == k]) for k in range(n_folds)]
    return FoldScores(n_events, np.array(sizes), effective_sample_size(counted), scores)


def answers_of(model: Any, X: Any, given: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Every kind of prediction that the model has."""
    methods = ("predict", "predict_proba", "decision_function")
    return {m: getattr(model, m)(X, **given) for m in methods if hasattr(model, m)}


def check_scorers(model: Any, scoring: Any, *, weighted: bool) -> dict[str, Callable[..., float]]:
    """Scorers by name; those of None are of what the model is."""
    if scoring is None:
        scoring = (
            {"accuracy": confusion_scorer("accuracy")}
            if is_classifier(model)
            else {"r2": regression_scorer("r2")}
        )
    if isinstance(scoring, str) or callable(scoring):
        name = scoring if isinstance(scoring, str) else getattr(scoring, "metric", "score")
        scoring = {name: scoring}
    elif not isinstance(scoring, Mapping):
        scoring = {name: name for name in scoring}
    if not scoring:
        msg = "scoring is empty: give at least one scorer"
        raise ValueError(msg)
    scorers = {str(name): get_scorer(scorer) for name, scorer in scoring.items()}
    for name, scorer in scorers.items():
        takes = isinstance(scorer, BaseScorer) or "sample_weight" in (
            inspect.signature(scorer).parameters
        )
        if weighted and not takes:
            msg = (
                f"scorer {name!r} takes no sample_weight, which weights and the bootstrap of the "
                "errors need: let it, or score without weights and with n_replicas=0"
            )
            raise ValueError(msg)
    return scorers


def _signed_hint(scorer: Any, sample_weight: NDArray[np.float64] | None) -> str:
    """What to do about a score of scikit-learn that fails on negative weights."""
    if isinstance(scorer, EventScorer) or sample_weight is None or sample_weight.min() >= 0:
        return ""
    return " (some weights are negative: the scorers of skhep_ml.metrics take them)"


def _compatibility(values: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Probability of values that scatter so much about their mean, given their errors."""
    if not (errors > 0).all():
        return float("nan")
    mean = np.average(values, weights=errors**-2)
    return float(chi2.sf((((values - mean) / errors) ** 2).sum(), len(values) - 1))
