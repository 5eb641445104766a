"""Whether the events a model is applied to look like those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.utils import check_random_state

from skhep_ml._extras import import_extra
from skhep_ml._format import number, p_value, percent, with_error
from skhep_ml._text_table import html_table, text_table
from skhep_ml._two_sample import TwoSampleFit, default_classifier, fit_two_samples, two_sample_folds
from skhep_ml._validation import check_event_weight
from skhep_ml.impute._masks import missing_sentinels
from skhep_ml.inspection._shifts import ShiftTest, missing_differences, sign_cells
from skhep_ml.inspection._table import EventTable, SortedColumn
from skhep_ml.metrics._base import check_positive_sum
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.weights._base import effective_sample_size

_SAMPLES = ["reference", "application"]


@dataclass(frozen=True, repr=False, eq=False)
class ShiftTestResult:
    """Result of `shift_test`.

    Attributes
    ----------
    auc, auc_error : float
        Area under the ROC curve of classifiers that tell the samples apart, on events that they
        did not see, and its statistical error; 0.5 means that they find no difference.
    pvalue : float
        Probability of at least this area without a difference.
    n_reference, n_application : int
        Numbers of events.
    effective_reference, effective_application : float
        Effective sizes, (sum w)^2 / sum w^2.
    feature_names : list of str
        Names of the features.
    importance, importance_error : ndarray of shape (n_features,)
        Loss of area where the feature is permuted, mean over folds, and the spread of that mean.
    ks, ks_pvalue : ndarray of shape (n_features,)
        Kolmogorov-Smirnov distance of the feature alone, over events that have it, and its p-value.
    missing_difference : ndarray of shape (n_features,)
        Share of missing values in the application less that in the reference.

    See Also
    --------
    shift_test : Makes it.
    """

    auc: float
    auc_error: float
    pvalue: float
    n_reference: int
    n_application: int
    effective_reference: float
    effective_application: float
    feature_names: list[str]
    importance: NDArray[np.float64]
    importance_error: NDArray[np.float64]
    ks: NDArray[np.float64]
    ks_pvalue: NDArray[np.float64]
    missing_difference: NDArray[np.float64]

    def _order(self) -> NDArray[np.intp]:
        return np.lexsort((-self.ks, -self.importance))

    def to_pandas(self) -> Any:
        """Return the features as a table, the most important first.

        Returns
        -------
        DataFrame
            One row a feature, with columns ``importance``, ``importance_error``, ``ks``,
            ``ks_pvalue`` and ``missing_difference``.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        order = self._order()
        names = ("importance", "importance_error", "ks", "ks_pvalue", "missing_difference")
        index = pandas.Index([self.feature_names[k] for k in order], name="feature")
        columns = {name: getattr(self, name)[order] for name in names}
        return pandas.DataFrame(columns, index=index)

    def _headline(self) -> str:
        return (
            f"AUC {with_error(self.auc, self.auc_error)}, p {_equals(self.pvalue)}: "
            f"{self.n_reference:,} reference events ({number(self.effective_reference)} effective) "
            f"against {self.n_application:,} ({number(self.effective_application)})"
        )

    def _table(self) -> tuple[list[str], list[list[str]]]:
        head = ["feature", "AUC lost", "KS distance", "p-value", "missing"]
        rows = [
            [
                self.feature_names[k],
                with_error(self.importance[k], self.importance_error[k]),
                number(self.ks[k]),
                p_value(self.ks_pvalue[k]),
                percent(self.missing_difference[k]),
            ]
            for k in self._order()
        ]
        return head, rows

    def __repr__(self) -> str:
        """Text for the terminal."""
        return f"{self._headline()}\n{text_table(*self._table())}"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        # the headline holds numbers only, but "<" among them
        headline = self._headline().replace("<", "&lt;")
        return f"<p>{headline}</p>{html_table(*self._table())}"


def shift_test(
    reference: Any,
    application: Any,
    *,
    reference_weight: ArrayLike | None = None,
    application_weight: ArrayLike | None = None,
    reference_groups: Any = None,
    application_groups: Any = None,
    feature_names: Sequence[str] | None = None,
    missing_values: float | Sequence[float] = (np.nan, -999.0),
    estimator: Any = None,
    n_splits: int = 2,
    n_repeats: int = 3,
    n_jobs: int | None = None,
    random_state: Any = 0,
) -> ShiftTestResult:
    r"""Test whether the events a model is applied to look like those it was trained on.

    A classifier tries to tell the two samples apart. What it finds on events that it did not see
    is a difference in any feature or in any correlation between features.

    Parameters
    ----------
    reference : array-like of shape (n_reference, n_features) or DataFrame
        Events as in training.
    application : array-like of shape (n_application, n_features) or DataFrame
        Events the model is applied to. Columns of DataFrames are matched by name.
    reference_weight, application_weight : array-like, default=None
        Event weights, of any sign; None counts events. Their sums do not matter.
    reference_groups, application_groups : array-like of int, default=None
        Event identifiers, of shape (n_events,) or (n_events, k): entries of one event share a fold.
        Without any, folds follow the content of events.
    feature_names : sequence of str, default=None
        Names of the columns of an array; None numbers them x0, x1, ...
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing"; infinite ones count as missing too.
    estimator : classifier, default=None
        The classifier, which must take weights; None is a `BDTClassifier` that is stopped early.
    n_splits : int, default=2
        Folds; the classifier of each is trained on all others.
    n_repeats : int, default=3
        Permutations of each feature; 0 leaves the importances out.
    n_jobs : int, default=None
        Threads of the default classifier; None takes all.
    random_state : int, RandomState instance or None, default=0
        Seed of the default classifier, of errors and of permutations.

    Returns
    -------
    ShiftTestResult
        Area, p-value, and which features drive it; a table when printed.

    Raises
    ------
    ValueError
        Other columns in one sample, or weights of wrong length or without a positive sum.

    See Also
    --------
    skhep_ml.reweighting.reweighting_report : The same for a sample that was reweighted.
    describe_events : Tests of single features, between classes and along time.

    Notes
    -----
    With the mean area A over the folds and the bootstrap errors :math:`\sigma_k` of their areas,

    .. math:: p = 1 - \Phi\left(\frac{A - 1/2}{\sigma}\right), \qquad
              \sigma^2 = \frac{2}{n^2} \sum_k \sigma_k^2

    The factor 2 is there because the models of two folds learn each the fluctuations of the other
    fold: the areas are positively correlated. A small difference in a large sample has a tiny
    p-value; whether it matters is said by the area. A p-value of a feature alone is not corrected
    for the number of features.

    Importances are losses of the area where values of a feature are permuted among all events of a
    fold, with the fold's own classifier. A feature that differs alone has both an importance and a
    distance; one whose correlation with others differs has only an importance.

    References
    ----------
    D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, arXiv:1610.06545.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.inspection import shift_test
    >>> rng = np.random.default_rng(0)
    >>> training, data = rng.normal(size=(2000, 3)), rng.normal(size=(2000, 3))
    >>> data[:, 1] += 0.3
    >>> result = shift_test(training, data, estimator=LogisticRegression())
    >>> result.pvalue < 1e-6, result.to_pandas().index[0]
    (True, 'x1')
    """
    n_splits = check_n_splits(n_splits)
    if n_repeats < 0:
        msg = f"n_repeats must not be negative, got {n_repeats}"
        raise ValueError(msg)
    sentinels = missing_sentinels(missing_values)
    tables = [EventTable(reference, feature_names, sentinels)]
    tables.append(_same_columns(application, tables[0], feature_names, sentinels))
    weights = []
    for table, given, name in zip(
        tables, (reference_weight, application_weight), _SAMPLES, strict=True
    ):
        weight = check_event_weight(given, table.n_events, name=f"{name}_weight")
        weight = np.ones(table.n_events) if weight is None else weight
        check_positive_sum(weight, name)
        weights.append(weight)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    if estimator is None:
        n_events = sum(table.n_events for table in tables)
        estimator = default_classifier(seed, n_jobs=n_jobs, n_events=n_events)
    first, second = (
        np.column_stack([np.where(one.absent(column), np.nan, column) for column in one.columns()])
        for one in tables
    )
    fold = two_sample_folds(first, second, reference_groups, application_groups, n_splits)
    fit, both = fit_two_samples(
        first, second, *weights, estimator=estimator, fold=fold, n_splits=n_splits
    )
    auc, error = fit.auc(fit.score(both), seed)
    importance = _importances(fit, both, n_repeats, seed)
    distances = _distances(both, fit, seed)
    return ShiftTestResult(
        auc=auc,
        auc_error=error,
        pvalue=float(norm.sf((auc - 0.5) / error)) if error > 0 else np.nan,
        n_reference=len(first),
        n_application=len(second),
        effective_reference=effective_sample_size(weights[0]),
        effective_application=effective_sample_size(weights[1]),
        feature_names=[str(name) for name in tables[0].names],
        importance=importance[0],
        importance_error=importance[1],
        ks=distances[0],
        ks_pvalue=distances[1],
        missing_difference=distances[2],
    )


def _same_columns(
    X: Any, reference: EventTable, feature_names: Sequence[str] | None, sentinels: tuple[float, ...]
) -> EventTable:
    """The application's table with the columns of the reference."""
    table = EventTable(X, feature_names, sentinels)
    if table.names == reference.names:
        return table
    missing = [name for name in reference.names if name not in table.names]
    extra = [name for name in table.names if name not in reference.names]
    if missing or extra:
        msg = (
            f"reference and application have different columns: {missing} are missing in the "
            f"application, {extra} in the reference; select the same columns in both"
        )
        raise ValueError(msg)
    return EventTable(X[reference.names], None, sentinels)


def _importances(
    fit: TwoSampleFit, table: NDArray[Any], n_repeats: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss of area for every feature, and its error."""
    n_features = table.shape[1]
    if not n_repeats:
        return np.full(n_features, np.nan), np.full(n_features, np.nan)
    rng = np.random.default_rng(seed)
    before = fit.fold_areas(fit.score(table))
    losses = np.empty((n_features, n_repeats, len(before)))
    for k in range(n_features):
        column = table[:, k].copy()
        for repeat in range(n_repeats):
            for fold in range(len(before)):
                rows = np.flatnonzero(fit.fold == fold)
                table[rows, k] = column[rng.permutation(rows)]
            losses[k, repeat] = before - fit.fold_areas(fit.score(table))
        table[:, k] = column
    every = losses.reshape(n_features, -1)
    return every.mean(axis=1), every.std(axis=1, ddof=1) / np.sqrt(every.shape[1])


def _distances(
    table: NDArray[Any], fit: TwoSampleFit, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distance, p-value and missing difference of every feature."""
    test = ShiftTest(_SAMPLES, seed)
    size, cells = np.abs(fit.weight), sign_cells(fit.label, fit.weight)
    total = np.bincount(fit.label, size, 2).astype(np.float64)
    rows = []
    for values in table.T:
        column = SortedColumn.from_column(np.ascontiguousarray(values), ())
        (found,) = test.between_classes(column, size[column.events], cells[column.events])
        lost = np.bincount(fit.label, size * column.missing, 2).astype(np.float64)
        (difference,) = missing_differences(lost, total)
        rows.append((found["distance"], found["pvalue"], difference))
    distance, pvalue, missing = np.array(rows, dtype=np.float64).T
    return distance, pvalue, missing


def _equals(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"
