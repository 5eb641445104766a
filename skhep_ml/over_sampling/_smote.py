"""Synthetic minority over-sampling with event weights."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
from imblearn.utils import check_sampling_strategy
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state

from skhep_ml._clouds import is_cloud
from skhep_ml._frames import (
    column_positions,
    copy_columns,
    is_frame,
    numeric_columns,
    replace_columns,
    take_rows,
)
from skhep_ml.over_sampling._base import Resampling, WeightedSampler
from skhep_ml.weights import balance_classes
from skhep_ml.weights._base import class_sums
from skhep_ml.weights._policies import NEGATIVE_WEIGHT_POLICIES, check_policy, training_weights

_KINDS = ("regular", "borderline")
_MAX_CATEGORIES = 256  # above, a nominal column is an identifier: no part of the distance
_TREE_DIMENSIONS = 8  # above, comparing all pairs is faster than a tree
_CONSTANT = 1e-12  # a spread below this part of the mean is rounding
_EXACT_INTEGER = 2**53


class _Columns(NamedTuple):
    """Positions of the columns: interpolated, voted on, and copied from the parent."""

    numeric: list[int]
    nominal: list[int]
    identifiers: list[int]


class _Metric:
    """Coordinates whose Euclidean distance says who is a neighbour in one class.

    A nominal mismatch counts as the median spread of the numeric columns (SMOTE-NC).
    """

    def __init__(
        self, numeric: NDArray[Any], weight: NDArray[np.float64] | None, standardize: bool
    ) -> None:
        self.mean = np.zeros(numeric.shape[1])
        spread = np.zeros(numeric.shape[1])
        for j in range(numeric.shape[1]):
            column = numeric[:, j].astype(np.float64)
            self.mean[j] = np.average(column, weights=weight)
            spread[j] = np.sqrt(np.average(np.square(column - self.mean[j]), weights=weight))
        if standardize:
            varies = spread > _CONSTANT * np.abs(self.mean)
            self.scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
            self.mismatch = 1.0
        else:
            self.scale = np.ones_like(spread)
            self.mismatch = float(np.median(spread))

    def coordinates(
        self, numeric: NDArray[Any], codes: Sequence[NDArray[np.intp]]
    ) -> NDArray[np.floating[Any]]:
        dtype = numeric.dtype if numeric.dtype.kind == "f" else np.dtype(np.float64)
        parts = [((numeric - self.mean) * self.scale).astype(dtype, copy=False)]
        for code in codes:
            n_categories = int(code.max()) + 1
            if n_categories <= _MAX_CATEGORIES:
                # two of these differ in two places, by mismatch^2 together
                parts.append(np.eye(n_categories, dtype=dtype)[code] * (self.mismatch / np.sqrt(2)))
        return np.hstack(parts).astype(dtype, copy=False)


def nearest_others(
    points: NDArray[np.floating[Any]],
    rows: NDArray[np.intp],
    n_neighbors: int,
    n_jobs: int | None = None,
) -> NDArray[np.intp]:
    """Numbers of the nearest points of each of ``rows``, without itself, nearest first."""
    algorithm = "kd_tree" if points.shape[1] <= _TREE_DIMENSIONS else "brute"
    search = NearestNeighbors(n_neighbors=n_neighbors + 1, algorithm=algorithm, n_jobs=n_jobs)
    found = search.fit(points).kneighbors(points[rows], return_distance=False)
    itself = found == rows[:, None]
    # among many identical points the event itself may be missing: then the farthest goes
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(rows), n_neighbors)


def majority(
    codes: NDArray[np.intp], parent: NDArray[np.intp], neighbors: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Row that gives the nominal value: one of the most frequent value, the parent in a tie.

    ``parent`` has shape (n,), ``neighbors`` (n, k).
    """
    values = codes[neighbors]
    votes = np.zeros(values.shape, dtype=np.intp)
    for j in range(values.shape[1]):
        votes += values == values[:, j, None]
    winner = votes.argmax(axis=1)[:, None]
    most = np.take_along_axis(votes, winner, axis=1)
    other = values != np.take_along_axis(values, winner, axis=1)
    tie = ((votes == most) & other).any(axis=1)
    return np.where(tie, parent, np.take_along_axis(neighbors, winner, axis=1)[:, 0])


class WeightedSMOTE(WeightedSampler):
    r"""Over-sample classes with synthetic events, as event weights say.

    A synthetic event lies at random on the line between an event of the class, its parent, and
    one of the parent's nearest neighbours in the class. Parents are drawn with a probability
    proportional to their weight, so that the result follows the weighted distribution and does not
    depend on the unit of the weights. Label and identifier are the parent's.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable, default="auto"
        Which classes are over-sampled, up to which number of events, as in imbalanced-learn:
        ``"auto"`` brings all classes to the number of the largest, a float is the ratio of two
        classes, a dict gives the final number by class. Events are counted, whatever their weight.
    k_neighbors : int, default=5
        Number of neighbours, one of which is the other end of the line.
    kind : {"regular", "borderline"}, default="regular"
        Which events can be parents: all, or only those in danger: at least half, but not all, of
        their ``m_neighbors`` nearest events are of other classes.
    m_neighbors : int, default=10
        Number of neighbours among all classes for ``kind="borderline"``.
    nominal_columns : sequence of str or int, default=None
        Columns that are never interpolated, by name or position. A synthetic event takes the most
        frequent value among the parent's neighbours, in a tie the parent's. Strings and categories
        must be declared.
    id_columns : str, int or sequence of them, default=None
        Columns that identify events: the parent's values are copied, and the distance ignores them.
    standardize : bool, default=True
        Whether distances are measured in units of each column's weighted standard deviation in the
        class, so that neither GeV nor MeV matters. False compares columns as they are,
        as imbalanced-learn does.
    balance : bool, default=False
        Whether the weights that come out have the same sum in all classes. False keeps the sum of
        each class. Without weights nothing is weighted either way.
    negative_weights : str, default="raise"
        What is done first where weights are negative. ``"raise"`` refuses them; any other policy
        but ``"keep"`` is applied as by `apply_negative_weights`.
    random_state : int, RandomState instance or None, default=None
        Seed of parents, neighbours and places on the line.
    n_jobs : int, default=None
        Threads of the neighbour search in up to 8 dimensions; above, all cores work.

    Attributes
    ----------
    sampling_strategy_ : dict
        Number of synthetic events by class.
    sample_indices_ : ndarray of shape (n_output,)
        Parent of each output row; the given events come first, in their order.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when given a DataFrame.

    See Also
    --------
    ResampledClassifier : Brings resampled events and weights to a model, in Pipelines and searches.
    skhep_ml.weights.balance_classes : Equal class sums by weights alone.

    Notes
    -----
    A class of n events with the sum of weights W, given m synthetic ones, keeps its sum: its
    weights are multiplied by :math:`n / (n + m)`, and each synthetic event weighs
    :math:`W / (n + m)`. Events of weight zero are neither parents nor neighbours, do not count in
    n, and come out as they are.

    A line between two angles on both sides of :math:`\pm\pi` crosses the wrong half of the circle:
    give angles as sine and cosine, or momenta by their components. Integer columns are rounded to
    the nearest integer and keep their type. A nominal mismatch adds the squared median of the
    columns' standard deviations to the squared distance (1 if standardised); nominal columns of
    more than 256 values add nothing.

    Neighbours are exact, and looked up only for the distinct events that were drawn as parents.

    References
    ----------
    N. V. Chawla et al., SMOTE: synthetic minority over-sampling technique, JAIR 16 (2002) 321 (also
    SMOTE-NC). H. Han, W.-Y. Wang, B.-H. Mao, Borderline-SMOTE, ICIC 2005, LNCS 3644, 878.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.over_sampling import WeightedSMOTE
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(120, 2))
    >>> y = np.repeat([0, 1], [100, 20])
    >>> w = rng.uniform(0.5, 1.5, size=120)
    >>> X_more, y_more, w_more = WeightedSMOTE(random_state=0).fit_resample(X, y, sample_weight=w)
    >>> np.bincount(y_more).tolist()
    [100, 100]
    >>> bool(np.isclose(w_more[y_more == 1].sum(), w[y == 1].sum()))
    True
    """

    _sampling_type: ClassVar = "over-sampling"
    _needs_classes: ClassVar[bool] = True

    def __init__(
        self,
        sampling_strategy: Any = "auto",
        *,
        k_neighbors: int = 5,
        kind: str = "regular",
        m_neighbors: int = 10,
        nominal_columns: Sequence[Any] | None = None,
        id_columns: Any = None,
        standardize: bool = True,
        balance: bool = False,
        negative_weights: str = "raise",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.k_neighbors = k_neighbors
        self.kind = kind
        self.m_neighbors = m_neighbors
        self.nominal_columns = nominal_columns
        self.id_columns = id_columns
        self.standardize = standardize
        self.balance = balance
        self.negative_weights = negative_weights
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _check(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
        self._check_parameters()
        table, labels, weight = super()._check(X, y, sample_weight, groups)
        numeric, codes = self._values(table, self._split(table))
        self.sampling_strategy_ = check_sampling_strategy(
            self.sampling_strategy, labels, self._sampling_type
        )
        if weight is None:
            return table, labels, None
        classes, y_codes = np.unique(labels, return_inverse=True)
        class_sums(y_codes, classes, weight)
        if (weight < 0).any():
            self._check_negative(weight)
            weight = training_weights(
                np.column_stack([numeric, *codes]),
                y_codes,
                classes,
                weight,
                self.negative_weights,
                groups=groups,
                random_state=self.random_state,
                n_jobs=self.n_jobs,
            )
        return table, labels, weight

    def _check_parameters(self) -> None:
        for name in ("k_neighbors", "m_neighbors"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                msg = f"{name} must be a positive integer, got {value!r}"
                raise ValueError(msg)
        if self.kind not in _KINDS:
            msg = f"kind must be one of {_KINDS}, got {self.kind!r}"
            raise ValueError(msg)
        check_policy(self.negative_weights)
        if self.negative_weights == "keep":
            msg = "negative_weights='keep' is not possible: no parent has a negative probability"
            raise ValueError(msg)

    def _check_negative(self, weight: NDArray[np.float64]) -> None:
        if self.negative_weights != "raise":
            return
        negative = np.flatnonzero(weight < 0)
        policies = [p for p in NEGATIVE_WEIGHT_POLICIES if p not in ("keep", "raise")]
        msg = (
            f"WeightedSMOTE cannot draw from negative weights: {len(negative)} of {len(weight)} "
            f"are, first in event {negative[0]} ({weight[negative[0]]:.6g}); set negative_weights= "
            f"to one of {policies}, or call skhep_ml.weights.apply_negative_weights before"
        )
        raise ValueError(msg)

    def _check_table(self, X: Any) -> Any:
        if is_cloud(X):
            msg = f"X has shape {X.shape}: WeightedSMOTE needs a table, as CloudToTable makes one"
            raise ValueError(msg)
        return super()._check_table(X)

    def _split(self, table: Any) -> _Columns:
        identifiers = self.id_columns
        if identifiers is None:
            identifiers = ()
        elif isinstance(identifiers, (str, Integral)):
            identifiers = (identifiers,)
        chosen = column_positions(table, self.nominal_columns or (), argument="nominal_columns")
        copied = column_positions(table, identifiers, argument="id_columns")
        numeric = [j for j in range(table.shape[1]) if j not in chosen and j not in copied]
        if not numeric:
            msg = "all columns are nominal or identifiers: nothing is left to interpolate"
            raise ValueError(msg)
        nominal = [j for j in chosen if j not in copied]
        return _Columns(numeric, nominal, copied)

    def _values(self, table: Any, columns: _Columns) -> tuple[NDArray[Any], list[NDArray[np.intp]]]:
        """Numbers to interpolate, and codes of the nominal columns."""
        for j in columns.numeric:
            _check_interpolable(table, j)
        codes = [_category_codes(table, j) for j in columns.nominal]
        return numeric_columns(table, columns.numeric), codes

    def _fit_resample(
        self, X: Any, y: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> Resampling:
        rng = check_random_state(self.random_state)
        columns = self._split(X)
        numeric, codes = self._values(X, columns)
        live = np.ones(len(y), dtype=bool) if weight is None else weight != 0
        wanted = {label: m for label, m in self.sampling_strategy_.items() if m > 0}
        for label in wanted:
            self._check_size(label, int(np.sum(live & (y == label))))
        parents, values = [np.arange(len(y))], [numeric[:0]]
        sources: list[list[NDArray[np.intp]]] = [[] for _ in codes]
        for label, n_new in wanted.items():
            rows = np.flatnonzero(live & (y == label))
            class_weight = None if weight is None else weight[rows]
            metric = _Metric(numeric[rows], class_weight, self.standardize)
            points = metric.coordinates(numeric[rows], [code[rows] for code in codes])
            p = np.ones(len(rows)) if class_weight is None else class_weight
            if self.kind == "borderline":
                events = np.flatnonzero(live)
                p = p * self._in_danger(
                    metric.coordinates(numeric[events], [code[events] for code in codes]),
                    y[events] == label,
                )
                if not p.any():
                    msg = (
                        f"no event of class {_plain(label)!r} has half of its m_neighbors="
                        f"{self.m_neighbors} nearest events in another class, but not all: there "
                        "is no border to sample; use kind='regular', or more neighbours"
                    )
                    raise ValueError(msg)
            drawn = rng.choice(len(rows), size=n_new, p=p / p.sum())
            distinct, which = np.unique(drawn, return_inverse=True)
            near = nearest_others(points, distinct, self.k_neighbors, self.n_jobs)[which]
            end = near[np.arange(n_new), rng.randint(self.k_neighbors, size=n_new)]
            values.append(_between(numeric[rows[drawn]], numeric[rows[end]], rng))
            parents.append(rows[drawn])
            for source, code in zip(sources, codes, strict=True):
                source.append(majority(code, rows[drawn], rows[near]))
        all_parents = np.concatenate(parents)
        table = take_rows(X, all_parents)
        new = slice(len(y), None)
        table = replace_columns(
            table, columns.numeric, _rounded(X, columns.numeric, np.concatenate(values)), rows=new
        )
        if wanted:
            chosen = [np.concatenate([np.arange(len(y)), *source]) for source in sources]
            table = copy_columns(table, X, dict(zip(columns.nominal, chosen, strict=True)))
        return Resampling(table, all_parents, self._weights(y, weight, all_parents))

    def _check_size(self, label: Any, n_events: int) -> None:
        if n_events > self.k_neighbors:
            return
        what = (
            f"set k_neighbors to at most {n_events - 1}"
            if n_events > 1
            else "one event alone has no neighbours: leave the class out of sampling_strategy"
        )
        msg = (
            f"class {_plain(label)!r} has {n_events} events of non-zero weight, but k_neighbors="
            f"{self.k_neighbors} needs {self.k_neighbors + 1}: {what}, or add events"
        )
        raise ValueError(msg)

    def _in_danger(
        self, points: NDArray[np.floating[Any]], own: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Which events of the class have at least half, but not all, neighbours in others."""
        m = self.m_neighbors
        if len(points) <= m:
            msg = f"m_neighbors={m} needs more than {m} events, there are {len(points)}"
            raise ValueError(msg)
        foreign = ~own[nearest_others(points, np.flatnonzero(own), m, self.n_jobs)]
        count = foreign.sum(axis=1)
        return (2 * count >= m) & (count < m)

    def _weights(
        self,
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        parents: NDArray[np.intp],
    ) -> NDArray[np.float64] | None:
        if weight is None:
            return None
        classes, codes = np.unique(y, return_inverse=True)
        sums = np.bincount(codes, weight)
        given = np.bincount(codes[weight != 0], minlength=len(classes))
        made = np.bincount(codes[parents[len(y) :]], minlength=len(classes))
        total = given + made
        out = np.concatenate(
            [weight * (given / total)[codes], (sums / total)[codes[parents[len(y) :]]]]
        )
        return balance_classes(y[parents], out) if self.balance else out

    def __sklearn_tags__(self) -> Any:
        """Tables without NaN; NaN passes the base class only for an error that names the column."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags


def _plain(label: Any) -> Any:
    return np.asarray(label).tolist()


def _column(table: Any, position: int) -> tuple[Any, Any, NDArray[Any]]:
    """Name, column and values of one column."""
    if is_frame(table):
        name = table.columns[position]
        return name, table[name], np.asarray(table[name])
    return position, None, table[:, position]


def _refuse_missing(name: Any, n_missing: int) -> None:
    if n_missing:
        msg = (
            f"Input X contains NaN: column {name!r} in {n_missing} events; fill the holes with "
            "skhep_ml.impute.MissingValueImputer before, or drop these events"
        )
        raise ValueError(msg)


def _check_interpolable(table: Any, position: int) -> None:
    name, _, values = _column(table, position)
    if values.dtype.kind not in "fiub":
        msg = (
            f"column {name!r} has type {values.dtype} and cannot be interpolated: declare it in "
            "nominal_columns, or encode it"
        )
        raise ValueError(msg)
    if values.dtype.kind == "f":
        if not np.isfinite(values.sum(dtype=np.float64)):
            _refuse_missing(name, int(np.isnan(values).sum()))
            if np.isinf(values).any():
                msg = f"Input X contains infinity: column {name!r}; clip it before"
                raise ValueError(msg)
    elif values.dtype.itemsize == 8 and len(values) and _beyond(values):
        msg = (
            f"column {name!r} holds integers beyond 2^53, which look like identifiers: declare it "
            "in id_columns"
        )
        raise ValueError(msg)


def _beyond(values: NDArray[Any]) -> bool:
    return int(values.max()) > _EXACT_INTEGER or int(values.min()) < -_EXACT_INTEGER


def _category_codes(table: Any, position: int) -> NDArray[np.intp]:
    name, column, values = _column(table, position)
    if values.dtype.kind == "f":
        _refuse_missing(name, int(np.isnan(values).sum()))
    elif column is not None:
        absent = column.isna() if hasattr(column, "isna") else column.is_null()
        _refuse_missing(name, int(absent.sum()))
    if values.dtype.kind != "O":
        return np.unique(values, return_inverse=True)[1]
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.intp)


def _between(start: NDArray[Any], end: NDArray[Any], rng: np.random.RandomState) -> NDArray[Any]:
    """Points at random on the lines, in the precision of the table."""
    dtype = start.dtype if start.dtype.kind == "f" else np.dtype(np.float64)
    step = rng.uniform(size=(len(start), 1)).astype(dtype)
    start = start.astype(dtype, copy=False)
    return start + step * (end.astype(dtype, copy=False) - start)


def _rounded(table: Any, positions: list[int], values: NDArray[Any]) -> NDArray[Any]:
    """Values with those of integer columns at the nearest integer."""
    if not is_frame(table):
        return values if table.dtype.kind == "f" else np.rint(values).astype(table.dtype)
    for index, position in enumerate(positions):
        if _column(table, position)[2].dtype.kind != "f":
            values[:, index] = np.rint(values[:, index])
    return values
