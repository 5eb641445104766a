"""k-means under event weights: on all events, from a batch of them, or chunk by chunk."""

import numbers
from copy import copy
from typing import Any

import numpy as np
import sklearn.cluster
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    clone,
)
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.cluster._silhouette import weighted_silhouettes
from skhep_ml.weights._policies import NEGATIVE_WEIGHT_POLICIES, check_policy, prepare_weights

_METHODS = ("auto", "full", "minibatch")
# beyond, "auto" takes a batch
_FULL_EVENTS = 5_000_000
# runs on a batch, where they cost little, and iterations over all events after it
_BATCH_RUNS, _LAST_ITERATIONS = 4, 3


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    r"""k-means clustering with event weights.

    scikit-learn's `KMeans` under our weights, with a quicker way for tens of millions of events,
    `partial_fit` for more than fit into memory, and a choice of the number of clusters.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        Clusters; "auto" takes the number of ``n_clusters_range`` with the largest weighted mean
        silhouette.
    n_clusters_range : tuple of two int, default=(2, 10)
        Smallest and largest number that "auto" tries.
    silhouette_samples : int, default=5000
        Events, drawn at random, on which "auto" clusters and takes silhouettes.
    init : {"k-means++", "random"}, callable or array, default="k-means++"
        Initial centres, as in scikit-learn; an array has shape (n_clusters, n_features).
    n_init : "auto" or int, default="auto"
        Runs from different initial centres, of which the best counts: 1 for "k-means++" (4 on a
        batch) and for arrays, otherwise 10.
    max_iter : int, default=300
        Largest number of iterations of a run.
    tol : float, default=1e-4
        A run ends when the centres move less than this, relative to the variance of the features.
    method : {"auto", "full", "minibatch"}, default="auto"
        "full" looks at all events in each iteration. "minibatch" finds the centres on a random
        batch of ``batch_size`` events, then makes at most 3 iterations over all. "auto" is "full"
        up to five million events.
    batch_size : int, default=131072
        Events of a batch.
    algorithm : {"lloyd", "elkan"}, default="lloyd"
        How "full" works, as in scikit-learn.
    negative_weights : {"raise", "refine", "pair", "cell", "drop", "abs"}, default="raise"
        What is done where weights are negative, see `skhep_ml.weights.apply_negative_weights`. The
        sum of weighted squared distances has no minimum then, so they are refused by default, and
        ``"keep"`` always.
    salt : int, default=0
        Salt of refinement's split by event identifiers.
    copy_x : bool, default=True
        False lets the fit centre the events in place, and restore them up to rounding.
    random_state : int, RandomState instance or None, default=None
        Seed of initial centres, batches, silhouettes and refinement.
    verbose : int, default=0
        Messages of the engine.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres.
    labels_ : ndarray of int32, shape (n_events,)
        Cluster of each event of the fit; of the last chunk after `partial_fit`.
    inertia_ : float
        Sum of squared distances to the centres, under the weights of the training in their own
        unit.
    n_iter_ : int
        Iterations of the best run; under "minibatch" with those over all events, after
        `partial_fit` the number of chunks.
    n_clusters_ : int
        Number of clusters.
    silhouettes_ : dict of int to float
        Mean silhouette by number of clusters, with ``n_clusters="auto"``.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    See Also
    --------
    skhep_ml.preprocessing.AutoScaler : Features of one scale, which distances need.
    skhep_ml.impute.MissingValueImputer : Values for what is missing, which distances need.

    Notes
    -----
    Clusters minimise :math:`\sum_i w_i \min_c |x_i - \mu_c|^2`. Weights enter divided by their
    mean, so that their unit does not matter, not even in float32, which is kept.

    With a(i) the weighted mean distance of an event to the others of its cluster and b(i) to those
    of the nearest other one, a silhouette is (b - a)/max(a, b). Its weighted mean is near 1 for
    tight clusters far apart and falls where one is cut in two; it favours round clusters of like
    size, and cannot tell that there is only one.

    References
    ----------
    D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.

    P. J. Rousseeuw, Silhouettes, J. Comput. Appl. Math. 20 (1987) 53,
    doi:10.1016/0377-0427(87)90125-7.

    D. Sculley, Web-scale k-means clustering, WWW 2010, doi:10.1145/1772690.1772862 (`partial_fit`).

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.cluster import KMeans
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(centre, 0.3, size=(100, 2)) for centre in (0, 3, 6)])
    >>> model = KMeans("auto", random_state=0).fit(X, sample_weight=np.full(300, 0.01))
    >>> model.n_clusters_, sorted(abs(model.cluster_centers_[:, 0]).round().tolist())
    (3, [0.0, 3.0, 6.0])
    """

    __metadata_request__fit = {"sample_weight": True, "groups": True}
    __metadata_request__partial_fit = {"sample_weight": True, "groups": True}
    __metadata_request__score = {"sample_weight": True}

    def __init__(
        self,
        n_clusters: int | str = 8,
        *,
        n_clusters_range: tuple[int, int] = (2, 10),
        silhouette_samples: int = 5_000,
        init: Any = "k-means++",
        n_init: Any = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        method: str = "auto",
        batch_size: int = 131_072,
        algorithm: str = "lloyd",
        negative_weights: str = "raise",
        salt: int = 0,
        copy_x: bool = True,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_clusters_range = n_clusters_range
        self.silhouette_samples = silhouette_samples
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.method = method
        self.batch_size = batch_size
        self.algorithm = algorithm
        self.negative_weights = negative_weights
        self.salt = salt
        self.copy_x = copy_x
        self.random_state = random_state
        self.verbose = verbose

    # --- fit ------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> "KMeans":
        """Find the clusters.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features of one scale, without missing values; float32 stays float32.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any unit; negative ones as ``negative_weights`` says.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement then splits by event.

        Returns
        -------
        self : KMeans
            The fitted model.

        Raises
        ------
        ValueError
            Missing or infinite values, wrong weights, identifiers or parameters, fewer events than
            clusters.
        """
        self._check_params()
        table = self._table(X, reset=True)
        weight, unit = self._training_weight(table, sample_weight, groups)
        self.__dict__.pop("silhouettes_", None)
        n_clusters = self.n_clusters
        if n_clusters == "auto":
            n_clusters = self._best_number(table, weight)
        engine, n_iter = self._full(n_clusters), 0
        batch = self._batch(table.shape[0], weight)
        with config_context(assume_finite=True):  # checked already
            if batch is not None:
                start = clone(engine)
                if (
                    self.n_init == "auto"
                    and isinstance(self.init, str)
                    and self.init == "k-means++"
                ):
                    start.set_params(n_init=_BATCH_RUNS)
                start.fit(table[batch], sample_weight=None if weight is None else weight[batch])
                n_iter = start.n_iter_
                last = min(self.max_iter, _LAST_ITERATIONS)
                engine.set_params(init=start.cluster_centers_, n_init=1, max_iter=last)
            engine.fit(table, sample_weight=weight)
        n_iter += engine.n_iter_
        self.__dict__.pop("_unit", None)
        self._adopt(engine, unit, n_iter)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> "KMeans":
        """Improve the clusters by one more chunk of events, taken as one mini-batch.

        The first chunk sets the initial centres; after `fit`, those found by it are the first.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            The next events.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Their weights, in the same unit as those of the other chunks.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers; refinement, chunk by chunk, then splits by event.

        Returns
        -------
        self : KMeans
            The model, fitted on all chunks so far.

        Raises
        ------
        ValueError
            As in `fit`, or ``n_clusters="auto"``.
        """
        self._check_params()
        if self.n_clusters == "auto":
            msg = (
                "partial_fit sees one chunk at a time and cannot choose n_clusters: fit "
                "n_clusters='auto' to one chunk, and set the number it finds (n_clusters_)"
            )
            raise ValueError(msg)
        first = not hasattr(self, "_engine")
        table = self._table(X, reset=first)
        if not first:  # the engine's steps want events and centres of one type
            table = table.astype(self.cluster_centers_.dtype, copy=False)
        weight, unit = self._training_weight(table, sample_weight, groups)
        if hasattr(self, "_unit"):
            engine, scale = self._engine, self._unit
        else:
            engine, scale = self._stream(first), unit
        if weight is None:
            weight = np.ones(table.shape[0])
        with config_context(assume_finite=True):
            engine.partial_fit(table, sample_weight=weight * (unit / scale))
        self._unit: float = scale
        self._adopt(engine, scale, engine.n_steps_)
        return self

    def _full(self, n_clusters: Any) -> Any:
        return sklearn.cluster.KMeans(
            n_clusters,
            init=self.init,
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
            verbose=self.verbose,
            random_state=self.random_state,
            copy_x=self.copy_x,
            algorithm=self.algorithm,
        )

    def _stream(self, first: bool) -> Any:
        return sklearn.cluster.MiniBatchKMeans(
            self.n_clusters,
            init=self.init if first else self.cluster_centers_,
            n_init=self.n_init if first else 1,
            verbose=self.verbose,
            random_state=self.random_state,
        )

    def _batch(self, n_events: int, weight: NDArray[np.float64] | None) -> NDArray[np.intp] | None:
        """Events of weight that find the centres; None for all."""
        if self.method == "full" or (self.method == "auto" and n_events <= _FULL_EVENTS):
            return None
        present = np.arange(n_events) if weight is None else np.flatnonzero(weight)
        return self._draw(present, self.batch_size)

    def _draw(self, rows: NDArray[np.intp], n_rows: int) -> NDArray[np.intp]:
        if len(rows) <= n_rows:
            return rows
        rng = check_random_state(self.random_state)
        return np.sort(rows[rng.choice(len(rows), n_rows, replace=False)])

    def _adopt(self, engine: Any, unit: float, n_iter: int) -> None:
        self._engine = engine
        self.cluster_centers_ = engine.cluster_centers_
        self.labels_ = engine.labels_
        self.inertia_ = float(engine.inertia_) * unit
        self.n_iter_ = n_iter
        self.n_clusters_ = self._n_features_out = len(self.cluster_centers_)

    def _best_number(self, table: Any, weight: NDArray[np.float64] | None) -> int:
        low, high = self.n_clusters_range
        present = np.arange(table.shape[0]) if weight is None else np.flatnonzero(weight)
        if high >= len(present):
            msg = (
                f"n_clusters='auto' tries up to {high} clusters, which needs more events of "
                f"non-zero weight than the {len(present)} there are: lower n_clusters_range"
            )
            raise ValueError(msg)
        present = self._draw(present, self.silhouette_samples)
        part = table[present]
        part_weight = None if weight is None else weight[present]
        labellings = {
            k: self._full(k).set_params(copy_x=True).fit(part, sample_weight=part_weight).labels_
            for k in range(low, high + 1)
        }
        self.silhouettes_ = weighted_silhouettes(part, part_weight, labellings)
        return max(self.silhouettes_, key=lambda k: self.silhouettes_[k])

    # --- checks ---------------------------------------------------------------------------------

    def _check_params(self) -> None:
        check_policy(self.negative_weights)
        if self.negative_weights == "keep":
            msg = (
                "negative_weights='keep' is not possible: a sum of squared distances with negative "
                f"weights has no minimum; choose one of {_policies()}"
            )
            raise ValueError(msg)
        if self.method not in _METHODS:
            msg = f"method must be one of {_METHODS}, got {self.method!r}"
            raise ValueError(msg)
        counts = {"max_iter": 1, "batch_size": 1, "silhouette_samples": 3, "n_clusters": 1}
        for name, least in counts.items():
            value = getattr(self, name)
            if name == "n_clusters" and isinstance(value, str) and value == "auto":
                continue
            if not isinstance(value, numbers.Integral) or value < least:
                either = ' or "auto"' if name == "n_clusters" else ""
                msg = f"{name} must be an integer of at least {least}{either}, got {value!r}"
                raise ValueError(msg)
        if self.n_clusters != "auto":
            return
        pair = tuple(self.n_clusters_range)
        whole = len(pair) == 2 and all(isinstance(k, numbers.Integral) for k in pair)
        if not whole or not 2 <= pair[0] <= pair[1] < self.silhouette_samples:
            msg = (
                "n_clusters_range must be two integers (low, high) with 2 <= low <= high < "
                f"silhouette_samples={self.silhouette_samples}, got {self.n_clusters_range!r}"
            )
            raise ValueError(msg)
        if not isinstance(self.init, str) and not callable(self.init):
            msg = "n_clusters='auto' needs init='k-means++', 'random' or a callable, not centres"
            raise ValueError(msg)

    def _table(self, X: Any, *, reset: bool) -> Any:
        table = validate_data(
            self,
            unmasked(X if reset else align_columns(self, X)),
            reset=reset,
            accept_sparse="csr",
            accept_large_sparse=False,
            dtype=[np.float64, np.float32],
            order="C",
            ensure_all_finite="allow-nan",
        )
        values = table.data if issparse(table) else table
        with np.errstate(over="ignore", invalid="ignore"):
            suspect = np.isnan(values.sum())
        if suspect and np.isnan(values).any():
            where = "X"
            if not issparse(table):
                names = list(getattr(self, "feature_names_in_", range(table.shape[1])))
                missing = np.flatnonzero(np.isnan(table).any(axis=0))
                where = f"X, in {len(missing)} columns such as {names[missing[0]]!r}"
            msg = (
                f"Input X contains NaN: {np.isnan(values).sum()} values are missing in {where}, "
                "and distances need all: put skhep_ml.impute.MissingValueImputer before KMeans"
            )
            raise ValueError(msg)
        return table

    def _training_weight(
        self, table: Any, sample_weight: Any, groups: Any
    ) -> tuple[NDArray[np.float64] | None, float]:
        """Weights of mean 1 over those that are not 0, and the unit they were divided by."""
        n_events = table.shape[0]
        weight = check_event_weight(sample_weight, n_events)
        if groups is not None:
            groups = np.column_stack(check_event_id(groups, n_events))
        if weight is None:
            return None, 1.0
        negative = np.flatnonzero(weight < 0)
        if len(negative) and self.negative_weights == "raise":
            msg = (
                f"KMeans cannot take negative weights: {len(negative)} of {n_events} are, first in "
                f"event {negative[0]} ({weight[negative[0]]:.6g}); set negative_weights= to one of "
                f"{_policies()}, or call skhep_ml.weights.apply_negative_weights before"
            )
            raise ValueError(msg)
        prepared = prepare_weights(
            table,
            np.zeros(n_events, dtype=np.intp),
            np.array(["all"]),
            weight,
            negative_weights=self.negative_weights,
            weight_scale=None,
            groups=groups,
            salt=self.salt,
            random_state=self.random_state,
        )
        assert prepared is not None
        unit = float(prepared.train.sum() / np.count_nonzero(prepared.train))
        return prepared.train / unit, unit

    # --- use ------------------------------------------------------------------------------------

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Find the cluster of each event.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of int32, shape (n_events,)
            Numbers of the nearest centres.
        """
        check_is_fitted(self)
        table = self._table(X, reset=False)
        engine = self._engine_for(table)
        middle = engine.cluster_centers_.mean(axis=0)
        spread = np.ptp(engine.cluster_centers_, axis=0).max()
        if not issparse(table) and np.abs(middle).max() > 10 * spread:
            # the engine expands squares, which far from the origin leaves no digits of distances
            engine = copy(engine)
            engine.cluster_centers_ = engine.cluster_centers_ - middle
            table = table - middle
        with config_context(assume_finite=True):
            return engine.predict(table)

    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> NDArray[np.int32]:
        """Find the clusters, and return that of each event.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.

        Returns
        -------
        ndarray of int32, shape (n_events,)
            ``labels_``.
        """
        return self.fit(X, y, sample_weight, groups).labels_

    def transform(self, X: Any) -> NDArray[Any]:
        """Compute the distances to the centres.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features; a DataFrame's columns are used by name.

        Returns
        -------
        ndarray of shape (n_events, n_clusters)
            Distances; float32 stays float32.
        """
        check_is_fitted(self)
        table = self._table(X, reset=False)
        with config_context(assume_finite=True):
            return self._engine_for(table).transform(table)

    def _engine_for(self, table: Any) -> Any:
        # the engine wants centres of the events' type, and those are fewer
        if table.dtype == self.cluster_centers_.dtype:
            return self._engine
        engine = copy(self._engine)
        engine.cluster_centers_ = self.cluster_centers_.astype(table.dtype)
        return engine

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Negative sum of squared distances to the nearest centres.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights of any sign, used as they are.

        Returns
        -------
        float
            Score; larger is better.
        """
        check_is_fitted(self)
        table = self._table(X, reset=False)
        weight = check_event_weight(sample_weight, table.shape[0])
        _, distance = pairwise_distances_argmin_min(table, self.cluster_centers_)
        square = distance.astype(np.float64) ** 2
        return -float(square.sum() if weight is None else weight @ square)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _policies() -> list[str]:
    return [p for p in NEGATIVE_WEIGHT_POLICIES if p not in ("keep", "raise")]
