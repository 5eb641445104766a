"""Bias and variance of a model against the number of training events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from skhep_ml._compat import index_fit_params
from skhep_ml._extras import import_extra
from skhep_ml._format import number, percent, with_error
from skhep_ml._hashing import check_no_empty_fold, event_fold, held_out
from skhep_ml._response import model_response, positive_score
from skhep_ml._routing import inner_fit_params
from skhep_ml._text_table import html_table, text_table
from skhep_ml._validation import check_event_id, check_event_weight
from skhep_ml.metrics._base import check_positive_sum
from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.model_selection._split import check_n_splits
from skhep_ml.weights import balance_classes

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False)
class BiasVariance:
    """Result of `bias_variance`, one entry a number of parts.

    Attributes
    ----------
    n_parts : list of int
        Numbers of parts, and of models.
    n_train : ndarray of shape (n_sizes,)
        Mean number of training events of a model.
    error, error_std : ndarray of shape (n_sizes,)
        Mean squared error on the held-out events, mean over the models, and its statistical error.
    variance, variance_std : ndarray of shape (n_sizes,)
        The part of it that comes from the choice of the training events.
    bias, bias_std : ndarray of shape (n_sizes,)
        The rest: squared bias, and noise that no model can learn.
    train_error : ndarray of shape (n_sizes,)
        Mean squared error of the models on their own training events.

    See Also
    --------
    bias_variance : Makes it.
    """

    n_parts: list[int]
    n_train: Array
    error: Array
    error_std: Array
    variance: Array
    variance_std: Array
    bias: Array
    bias_std: Array
    train_error: Array

    def to_pandas(self) -> Any:
        """Return the numbers as a table.

        Returns
        -------
        DataFrame
            One row a number of parts.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        names = [name for name in self.__dataclass_fields__ if name != "n_parts"]
        columns = {name: getattr(self, name) for name in names}
        return pandas.DataFrame(columns, index=pandas.Index(self.n_parts, name="n_parts"))

    def _table(self) -> tuple[list[str], list[list[str]]]:
        head = ["training events", "models", "error", "variance", "share", "bias", "in training"]
        rows = [
            [
                f"{self.n_train[k]:,.0f}",
                str(n),
                with_error(self.error[k], self.error_std[k]),
                with_error(self.variance[k], self.variance_std[k]),
                percent(self.variance[k] / self.error[k]),
                with_error(self.bias[k], self.bias_std[k]),
                number(self.train_error[k]),
            ]
            for k, n in enumerate(self.n_parts)
        ]
        return head, rows

    def __repr__(self) -> str:
        """Text for the terminal."""
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return html_table(*self._table())


def bias_variance(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    groups: Any,
    n_parts: Sequence[int] = (16, 8, 4, 2),
    test_size: float = 0.25,
    balance: bool = True,
    pos_label: Any = None,
    salt: int = 0,
    n_jobs: int | None = None,
) -> BiasVariance:
    r"""Tell whether a model suffers from too few events or from too little freedom.

    The training events are cut into parts by event number and one model is trained on each. Where
    the models disagree about held-out events, more events or stronger regularisation help; the
    error that they share only falls with another model or better features.

    Parameters
    ----------
    estimator : estimator
        Classifier or regressor: a model, a Pipeline or a search. It is cloned.
    X : array-like of shape (n_events, n_features)
        Features.
    y : array-like of shape (n_events,)
        Target.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    groups : array-like of int, shape (n_events,) or (n_events, k)
        Event identifiers.
    n_parts : sequence of int, default=(16, 8, 4, 2)
        Numbers of parts, each at least 2. Every number costs about one training on all events.
    test_size : float, default=0.25
        Share of the events that are held out.
    balance : bool, default=True
        Whether the classes of a classifier count alike in the errors.
    pos_label : label, default=None
        The class whose probability is judged; None takes the second of two classes.
    salt : int, default=0
        Another salt gives other parts.
    n_jobs : int, default=None
        Models trained in parallel.

    Returns
    -------
    BiasVariance
        Errors and their parts against the number of training events; a table when printed.

    Raises
    ------
    ValueError
        Identifiers that are missing, a part without events, a ``test_size`` outside (0, 1), or
        held-out weights that sum to 0 or less.

    See Also
    --------
    sklearn.model_selection.learning_curve : Any score against the number of training events; with
        `EventNumberKFold` and the scorers of `skhep_ml.metrics` it takes weights and identifiers.

    Notes
    -----
    For a classifier, :math:`f_k` is the probability of ``pos_label`` from model k of n, and y is 1
    for that class and 0 for others; for a regressor they are prediction and target. On held-out
    events, with weighted means,

    .. math::
        \overline{(f_k - y)^2} = V + B, \qquad
        V = \Big\langle \frac{1}{n - 1} \sum_k (f_k - \bar f)^2 \Big\rangle

    V is the variance between training samples of this size, without bias since the parts share no
    event. B is squared bias plus the noise of y itself, which this cannot tell apart; compare
    models by it. Errors of all three are those of the finite
    number of held-out events. A probability that was trained on other class weights than it is
    judged with has a bias; `balance` fits ``class_weight="balanced"``.

    References
    ----------
    S. Geman, E. Bienenstock, R. Doursat, Neural Computation 4 (1992) 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skhep_ml.inspection import bias_variance
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=4000)
    >>> X = rng.normal(y[:, None], 2.0, size=(4000, 3))
    >>> event = np.arange(4000)
    >>> stump, deep = (
    ...     bias_variance(DecisionTreeClassifier(max_depth=d, random_state=0), X, y, groups=event)
    ...     for d in (1, None)
    ... )
    >>> bool(stump.variance[-1] < 0.1 * stump.error[-1] < deep.variance[-1])
    True
    """
    parts = [check_n_splits(n) for n in n_parts]
    if not parts or not 0 < test_size < 1:
        msg = f"n_parts must not be empty and test_size lie in (0, 1), got {n_parts}, {test_size}"
        raise ValueError(msg)
    X = X if hasattr(X, "shape") or not isinstance(X, (list, tuple)) else np.asarray(X)
    y = np.asarray(y)
    n_events = _num_samples(X)
    if y.shape != (n_events,):
        msg = f"y has shape {y.shape}, but there are {n_events} events"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, n_events)
    event_id = np.column_stack(check_event_id(groups, n_events))
    held = held_out(event_id, test_size, "split", salt)
    fold_of = {}
    for n in parts:
        # another salt for every number: parts of one are not unions of parts of another
        fold = event_fold(event_id, n, "bias_variance", salt=salt + n)
        check_no_empty_fold(fold[~held], n)
        fold_of[n] = fold
    test = np.flatnonzero(held)
    judged = _judged_weights(estimator, y, weight, balance)
    check_positive_sum(judged[test], "held-out")
    # a rotating model knows how to hand weights and identifiers on, with and without routing
    params = inner_fit_params(
        RotatingClassifier(estimator), estimator, {}, sample_weight=weight, groups=event_id
    )
    jobs = Parallel(n_jobs=n_jobs)(
        delayed(_predictions)(
            estimator, X, y, np.flatnonzero(~held & (fold_of[n] == k)), test, params, pos_label
        )
        for n in parts
        for k in range(n)
    )
    results = iter(jobs)
    columns = []
    for n in parts:
        models = [next(results) for _ in range(n)]
        columns.append(_decompose(models, test, judged))
    return BiasVariance(parts, *np.array(columns).T)


def _judged_weights(estimator: Any, y: NDArray[Any], weight: Array | None, balance: bool) -> Array:
    if is_classifier(estimator) and balance:
        return balance_classes(y, weight)
    return np.ones(len(y)) if weight is None else weight


def _predictions(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    params: dict[str, Any],
    pos_label: Any,
) -> tuple[NDArray[np.intp], Array, Array]:
    """Training events, and residuals of one model on them and on the held-out events."""
    model = clone(estimator).fit(
        _safe_indexing(X, train), y[train], **index_fit_params(X, params, indices=train)
    )
    residuals = []
    for rows in (train, test):
        part = _safe_indexing(X, rows)
        if is_classifier(model):
            value, label = positive_score(
                model, part, pos_label=pos_label, methods=("predict_proba",)
            )
            truth = (y[rows] == label).astype(np.float64)
        else:
            value, truth = model_response(model, part, None, ("predict",))[0], y[rows]
        residuals.append(np.asarray(value, dtype=np.float64) - truth)
    return train, residuals[0], residuals[1]


def _decompose(models: list[Any], test: NDArray[np.intp], weight: Array) -> list[float]:
    """Numbers of one size: residuals differ between models as predictions do."""
    residuals = np.array([on_test for _, _, on_test in models])
    errors = np.mean(residuals**2, axis=0)
    variances = residuals.var(axis=0, ddof=1)
    w = weight[test]
    row = [float(np.mean([len(train) for train, _, _ in models]))]
    for values in (errors, variances, errors - variances):
        mean = w @ values / w.sum()
        row += [float(mean), float(np.linalg.norm(w * (values - mean)) / w.sum())]
    inside = [weight[train] @ on_train**2 / weight[train].sum() for train, on_train, _ in models]
    return [*row, float(np.mean(inside))]
