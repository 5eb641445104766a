"""Permutation importances of a fitted model, with weights, identifiers and statistical errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_regressor
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples

from skhep_ml._extras import import_extra
from skhep_ml._format import with_error
from skhep_ml._frames import column_positions, copy_columns, is_frame
from skhep_ml._response import model_response, positive_score, predicts_by_groups
from skhep_ml._text_table import html_table, text_table
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics import EventScorer, bootstrap, regression_scorer, roc_auc_scorer
from skhep_ml.model_selection._fold_scores import Answered, answers_of, check_scorers

_METHODS = ("predict_proba", "decision_function")


@dataclass(frozen=True, repr=False, eq=False)
class PermutationImportances:
    """Result of `permutation_importances`.

    Attributes
    ----------
    names : list of str
        Names of the features, or of the groups of them.
    mean : ndarray of shape (n_features,)
        Loss of score where the feature is permuted, mean over the permutations.
    std : ndarray of shape (n_features,)
        Its error: of the finite number of events and of permutations.
    score, score_std : float
        Score without permutation and its statistical error.

    See Also
    --------
    permutation_importances : Makes it.
    skhep_ml.plotting.ImportanceDisplay : Picture of it.
    """

    names: list[str]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    score: float
    score_std: float

    def to_pandas(self) -> Any:
        """Return the importances as a table, the largest first.

        Returns
        -------
        DataFrame
            One row a feature, with columns ``importance`` and ``error``.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        order = np.argsort(-self.mean, kind="stable")
        columns = {"importance": self.mean[order], "error": self.std[order]}
        index = pandas.Index([self.names[k] for k in order], name="feature")
        return pandas.DataFrame(columns, index=index)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        order = np.argsort(-self.mean, kind="stable")
        rows = [["(score)", with_error(self.score, self.score_std)]]
        rows += [[self.names[k], with_error(self.mean[k], self.std[k])] for k in order]
        return ["feature", "importance"], rows

    def __repr__(self) -> str:
        """Text for the terminal."""
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return html_table(*self._table())


def permutation_importances(
    model: Any,
    X: Any,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    scoring: str | Callable[..., float] | None = None,
    features: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    feature_names: Sequence[str] | None = None,
    n_repeats: int = 3,
    n_replicas: int = 50,
    n_jobs: int | None = None,
    random_state: Any = 0,
) -> PermutationImportances:
    r"""Loss of score where a feature is permuted among the events, with its error.

    Parameters
    ----------
    model : estimator
        Fitted model, Pipeline or search. A rotating model predicts every event by the model that
        did not see it; others should be given events that they were not trained on.
    X : array-like of shape (n_events, n_features), cloud or DataFrame
        Features; those of a cloud are its last axis.
    y : array-like of shape (n_events,)
        Target.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers: handed to models that predict by them, and entries of one event
        fluctuate together.
    scoring : str or scorer, default=None
        What is lost: a scorer, such as ``background_rejection_scorer(0.5)``, scikit-learn's name of
        one, or a callable of ``(model, X, y, sample_weight=)``, whose model only predicts. None is
        the area under the ROC curve, or R^2 of a regressor.
    features : sequence of columns, or mapping of str to columns, default=None
        Columns by name or position; a mapping names sets of columns that are permuted together,
        as the components of one object or columns that say the same. None takes every column.
    feature_names : sequence of str, default=None
        Names of the columns of an array; None numbers them x0, x1, ...
    n_repeats : int, default=3
        Permutations of each feature.
    n_replicas : int, default=50
        Evaluations of the score for each feature and permutation, which is what takes the time:
        bootstrap replicas, behind the statistical errors; with 0 errors are those of the
        permutations alone.
    n_jobs : int, default=None
        Replicas in parallel.
    random_state : int, RandomState instance or None, default=0
        Seed of permutations and replicas.

    Returns
    -------
    PermutationImportances
        Importances and errors; a table when printed or shown in a notebook.

    Raises
    ------
    ValueError
        Unknown columns, an unknown scorer or one that looks at columns of X, or wrong weights.

    See Also
    --------
    sklearn.inspection.permutation_importance : The same for any scorer, without identifiers and
        without the error of the finite number of events.

    Notes
    -----
    Permuted are values among all events, whatever their weights, so that weights stay with their
    event. What two correlated features say alike counts for neither of them: permute them together.

    The error is the spread, over bootstrap replicas that count events alike before and after, of
    the score less the mean of the scores after the permutations. It holds the fluctuation of
    events and that of permutations, which pair them anew; without replicas the error is that of the
    permutations alone.

    References
    ----------
    L. Breiman, Random forests, Machine Learning 45 (2001) 5.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.inspection import permutation_importances
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(2000, 3)), rng.integers(2, size=2000)
    >>> X[:, 1] += y
    >>> model = LogisticRegression().fit(X[:1000], y[:1000])
    >>> result = permutation_importances(model, X[1000:], y[1000:], n_replicas=20)
    >>> result.names[int(np.argmax(result.mean))]
    'x1'
    """
    if scoring is None:
        scoring = regression_scorer("r2") if is_regressor(model) else roc_auc_scorer()
    if not (isinstance(scoring, str) or callable(scoring)):
        msg = f"scoring={scoring!r} is neither a scorer nor the name of one"
        raise ValueError(msg)
    weighted = sample_weight is not None or n_replicas > 0
    scorer: Any
    (scorer,) = check_scorers(model, scoring, weighted=weighted).values()
    own = isinstance(scorer, EventScorer)
    if own and {"column", "columns"} & set(scorer.options or {}):
        msg = f"the metric {scorer.metric!r} looks at columns of X, which are permuted here"
        raise ValueError(msg)
    if n_repeats < 1 or n_replicas < 0 or n_replicas == 1:
        msg = (
            "n_repeats must be at least 1 and n_replicas be 0 or at least 2, got "
            f"{n_repeats} and {n_replicas}"
        )
        raise ValueError(msg)
    X = X if hasattr(X, "shape") else np.asarray(X)
    sets = _column_sets(X, features, feature_names)
    y = np.asarray(y)
    n_events = _num_samples(X)
    weight = check_event_weight(sample_weight, n_events)
    by_groups = groups is not None and getattr(model, "id_columns", None) is None
    by_label = (own and scorer.response == "predict") or not hasattr(model, "classes_")
    methods = ("predict",) if by_label else _METHODS
    handed = groups if by_groups and predicts_by_groups(model, methods) else None
    random = check_random_state(random_state)
    seed = int(random.randint(2**31 - 1))
    rng = np.random.default_rng(random.randint(2**31 - 1))
    labels = list(getattr(model, "classes_", ()))
    pos_label = scorer.pos_label if own else None
    if pos_label is None and len(labels) == 2:
        pos_label = labels[1]

    def predict(table: Any) -> NDArray[Any]:
        if by_label or pos_label is None:
            return model_response(model, table, handed, methods)[0]
        return positive_score(model, table, pos_label=pos_label, groups=handed)[0]

    def judge(table: Any) -> Callable[..., float]:
        """Score of some rows of a table whose predictions are made once."""
        if own:
            prediction = predict(table)
            return lambda rows, sample_weight=None: scorer.score_predictions(
                y[rows], prediction[rows], sample_weight
            )
        answers = answers_of(model, table, {} if handed is None else {"groups": handed})

        def score_of(rows: NDArray[np.intp], sample_weight: Any = None) -> float:
            given = {} if sample_weight is None else {"sample_weight": sample_weight}
            stand_in = Answered(model, answers, rows)
            return scorer(stand_in, _safe_indexing(table, rows), y[rows], **given)

        return score_of

    def spread(value: Callable[..., float]) -> NDArray[np.float64]:
        return bootstrap(
            value,
            everything,
            sample_weight=weight,
            groups=groups,
            n_replicas=n_replicas,
            random_state=seed,
            n_jobs=n_jobs,
        ).replicas

    everything = np.arange(n_events)
    before = judge(X)
    score = before(everything, weight)
    replicas = spread(before) if n_replicas else None
    losses = np.empty((len(sets), n_repeats))
    errors = np.full(len(sets), np.nan)
    for k, positions in enumerate(sets.values()):
        permuted = []
        for repeat in range(n_repeats):
            rows = rng.permutation(n_events)
            after = judge(copy_columns(X, X, dict.fromkeys(positions, rows)))
            losses[k, repeat] = score - after(everything, weight)
            if replicas is not None:
                permuted.append(spread(after))
        if replicas is not None:
            errors[k] = (replicas - np.mean(permuted, axis=0)).std(ddof=1)
        elif n_repeats > 1:
            errors[k] = losses[k].std(ddof=1) / np.sqrt(n_repeats)
    return PermutationImportances(
        list(sets),
        losses.mean(axis=1),
        errors,
        float(score),
        np.nan if replicas is None else float(replicas.std(ddof=1)),
    )


def _column_sets(
    X: Any, features: Any, feature_names: Sequence[str] | None
) -> dict[str, list[int]]:
    """Positions of the columns that are permuted together, by name."""
    if is_frame(X):
        known = [str(name) for name in X.columns]
    elif X.ndim < 2:
        msg = f"X must hold features on its last axis, got shape {X.shape}"
        raise ValueError(msg)
    else:
        known = [f"x{k}" for k in range(X.shape[-1])]
        if feature_names is not None:
            known = list(feature_names)
            if len(known) != X.shape[-1]:
                msg = f"X has {X.shape[-1]} columns, but there are {len(known)} feature_names"
                raise ValueError(msg)
    if features is None:
        return {name: [k] for k, name in enumerate(known)}
    if isinstance(features, Mapping):
        given = features.items()
        return {
            str(name): column_positions(X, columns, names=known, argument="features")
            for name, columns in given
        }
    positions = column_positions(X, features, names=known, argument="features")
    return {known[k]: [k] for k in positions}
