"""What boosted classifiers and regressors share: weights, early stopping, the engine."""

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance
from sklearn.utils import Bunch, Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skhep_ml._device import resolve_device
from skhep_ml._early_stopping import evaluation_pairs, stopping_mask
from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns, check_event_id, check_event_weight
from skhep_ml.ensemble._objectives import signed_leaf_events
from skhep_ml.weights._policies import TrainingWeights, check_policy, prepare_weights

# constructor parameters that the engine takes under the same name
_ENGINE_PARAMETERS = (
    "learning_rate",
    "max_depth",
    "max_leaves",
    "gamma",
    "subsample",
    "colsample_bytree",
    "reg_alpha",
    "reg_lambda",
    "max_bin",
)


class BaseBDT(BaseEstimator):
    """Boosted trees under weights: parameters, the fit, early stopping and importances.

    Subclasses say how the target is encoded and what its objectives and losses are.
    """

    __metadata_request__fit = {
        "sample_weight": True,
        "groups": True,
        "eval_set": True,
        "sample_weight_eval_set": True,
    }
    __metadata_request__score = {"sample_weight": True}

    def __init__(
        self,
        n_estimators: int = 200,
        *,
        learning_rate: float = 0.1,
        max_depth: int = 5,
        max_leaves: int = 0,
        min_child_weight: float = 1.0,
        gamma: float = 0.0,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 1.0,
        max_bin: int = 256,
        monotone_constraints: Any = None,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        early_stopping_rounds: int | None = None,
        validation_fraction: float = 0.2,
        eval_metric: Any = None,
        refit: bool = False,
        salt: int = 0,
        engine_params: dict[str, Any] | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.monotone_constraints = monotone_constraints
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.weight_cap = weight_cap
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_fraction = validation_fraction
        self.eval_metric = eval_metric
        self.refit = refit
        self.salt = salt
        self.engine_params = engine_params
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # --- fit ------------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        target: NDArray[Any],
        codes: NDArray[np.intp],
        classes: NDArray[Any],
        sample_weight: ArrayLike | None,
        groups: Any,
        eval_set: Any,
        sample_weight_eval_set: Any,
    ) -> Any:
        """Fit on a validated float32 table, or `DaskEvents`.

        ``codes`` number the classes (all 0 in regression).
        """
        weight = check_event_weight(sample_weight, len(target))
        if groups is not None:
            groups = np.column_stack(check_event_id(groups, len(target)))
        self._check_params()
        in_memory = isinstance(X, np.ndarray)
        device = resolve_device(self.device) if in_memory else X.device(self.device)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        sets = self._evaluation_sets(eval_set, sample_weight_eval_set)
        rows: Any = slice(None)
        if self.early_stopping_rounds is not None and not sets:
            held = stopping_mask(
                codes,
                classes,
                groups,
                fraction=self.validation_fraction,
                salt=self.salt,
                seed=seed,
            )
            rows = np.flatnonzero(~held)
            sets = [("validation", X[held], target[held], None if weight is None else weight[held])]
        for name, _, _, w_held in sets:
            if w_held is not None and w_held.sum() <= 0:
                msg = (
                    f"the weights of {name} sum to {w_held.sum():.6g}: early stopping needs a "
                    "positive sum; change validation_fraction or salt, or give more events"
                )
                raise ValueError(msg)

        def fit_rows(rows: Any, sets: list[Any], n_rounds: int) -> Any:
            pick = lambda array: None if array is None else array[rows]  # noqa: E731
            table = X[rows]
            prepared = prepare_weights(
                # policies that read the features have been refused elsewhere
                table if in_memory else np.empty((len(table), 0), dtype=np.float32),
                codes[rows],
                classes,
                pick(weight),
                target=target[rows],
                negative_weights=self.negative_weights,
                weight_scale=self.weight_scale,
                class_weight=getattr(self, "class_weight", None),
                weight_cap=self.weight_cap,
                groups=pick(groups),
                salt=self.salt,
                random_state=seed,
                n_jobs=self.n_jobs,
                device=device,
            )
            return self._train(table, target[rows], prepared, sets, n_rounds, device, seed)

        self.booster_, self.evals_result_ = fit_rows(rows, sets, self.n_estimators)
        self._keep_best(lambda n_rounds: fit_rows(slice(None), [], n_rounds)[0])
        return self

    def _keep_best(self, train_again: Any) -> None:
        """Keep the trees up to the best one, or train as many again on all events."""
        if self.early_stopping_rounds is not None:
            self.best_iteration_ = int(self.booster_.best_iteration)
            self.best_score_ = float(self.booster_.best_score)
            if self.refit:
                self.booster_ = train_again(self.best_iteration_ + 1)
            else:
                self.booster_ = self.booster_[: self.best_iteration_ + 1]
        self.n_estimators_ = self.booster_.num_boosted_rounds()

    def fit_iter(
        self,
        chunks: Any,
        *,
        eval_set: Any = None,
        sample_weight_eval_set: Any = None,
        cache_dir: Any = None,
    ) -> Any:
        """Fit on a stream of chunks of events, with bounded memory.

        Parameters
        ----------
        chunks : iterable of Bunch, or of tuples
            Chunks as `skhep_ml.io.iterate_events` yields them (``data``, ``target``, ``weight``),
            or (X, y) or (X, y, sample_weight), or a function that returns such an iterable. It is
            read once.
        eval_set : list of (X, y) pairs, default=None
            Held-out events, in memory; early stopping needs them, a stream is not split.
        sample_weight_eval_set : list of array-like, default=None
            Weights of each pair.
        cache_dir : path, default=None
            Folder for temporary files, 4 bytes a feature and event, and one for the bins; None
            takes the system's.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            As `fit`; chunks that differ in their columns; negative weights under ``"refine"``,
            ``"pair"`` or ``"cell"``, which look at all events together: ``"keep"``, ``"drop"``,
            ``"abs"`` and ``"raise"`` work on streams; early stopping without ``eval_set``.

        See Also
        --------
        skhep_ml.io.iterate_events : Chunks from files.

        Notes
        -----
        Targets, weights and gradients stay in memory, some 60 bytes an event; of the features only
        a chunk at a time, and on a GPU the bins.

        Where no feature takes more than ``max_bin`` values, the edges of the bins are those of
        `fit`, and so are the trees. Else they differ slightly: beyond 200,000 events the edges are
        quantiles of as many, drawn evenly from the stream with ``random_state``; on a GPU, and for
        fewer events, they come from sketches of all.

        Examples
        --------
        >>> import numpy as np
        >>> from skhep_ml.ensemble import BDTRegressor
        >>> X = np.arange(200.0).reshape(-1, 1)
        >>> chunks = [(X[:100], X[:100, 0]), (X[100:], X[100:, 0])]
        >>> model = BDTRegressor(n_estimators=100, device="cpu").fit_iter(chunks)
        >>> bool(np.allclose(model.predict(X), BDTRegressor(100, device="cpu").fit(
        ...     X, X[:, 0]).predict(X)))
        True
        """
        from skhep_ml.ensemble._stream import fit_stream

        return fit_stream(self, chunks, eval_set, sample_weight_eval_set, cache_dir)

    def _train(
        self,
        X: Any,
        target: NDArray[Any],
        prepared: TrainingWeights | None,
        sets: list[Any],
        n_rounds: int,
        device: str,
        seed: int,
    ) -> Any:
        from skhep_ml.ensemble._engine import EvaluationSet, train_booster

        params = {
            **{name: getattr(self, name) for name in _ENGINE_PARAMETERS},
            **self._objective_params(),
            "min_child_weight": self.min_child_weight,
            "monotone_constraints": self._monotone(),
            "tree_method": "hist",
            "device": device,
            "nthread": self.n_jobs or 0,
            "seed": seed,
            "verbosity": 1,
            "disable_default_eval_metric": 1,
            **(self.engine_params or {}),
        }
        factor = np.ones(1) if prepared is None else prepared.class_factor
        held_out_sets = [
            EvaluationSet(name, X_held, y_held, self._held_weight(w_held, y_held, factor))
            for name, X_held, y_held, w_held in sets
        ]
        train = None if prepared is None else prepared.train
        objective = None
        own = self._own_training(X, target, prepared, held_out_sets)
        if own is not None:
            objective, params["base_score"], curvature, held_out_sets = own
            if prepared is not None and prepared.signed:
                params["min_child_weight"] = self._signed_leaf_floor(prepared.train, curvature)
            train = None
        if hasattr(X, "train"):  # events on Dask workers
            weight = None if prepared is None else prepared.train
            signed = objective is not None
            return X.train(self, target, weight, params, n_rounds, held_out_sets, signed=signed)
        columns = self._tree_columns()
        held_out_sets = [part._replace(X=part.X[:, columns]) for part in held_out_sets]
        metric_name, metric, maximize = self._metric(transformed=objective is None)
        return train_booster(
            X[:, columns],
            target,
            train,
            params,
            n_rounds,
            objective=objective,
            sets=held_out_sets,
            metric=metric,
            metric_name=metric_name,
            maximize=maximize,
            stop_after=self.early_stopping_rounds if held_out_sets else None,
            progress=self.verbose > 0,
        )

    def _tree_columns(self) -> Any:
        """Columns of X that the trees see."""
        return slice(None)

    def _own_training(
        self,
        X: NDArray[np.float32],
        target: NDArray[Any],
        prepared: TrainingWeights | None,
        sets: list[Any],
    ) -> tuple[Any, float, float, list[Any]] | None:
        """Objective of our own, base score, second derivative at the start, evaluation sets.

        None leaves the training to the engine's objective.
        """
        if prepared is None or not prepared.signed:
            return None
        return (*self._signed_training(target, prepared.train), sets)

    def _held_weight(
        self, weight: NDArray[np.float64] | None, y: NDArray[Any], factor: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        base = np.ones(len(y)) if weight is None else weight
        return base if len(factor) == 1 else base * factor[y.astype(np.intp)]

    def _signed_leaf_floor(self, weight: NDArray[np.float64], curvature: float) -> float:
        """Smallest hessian sum of a leaf, so that its net weight is well away from zero.

        That of `signed_leaf_events` events, each of mean abs(w) and of the second derivative
        ``curvature`` that an average event has at the start: 16 / r^2 for two classes of equal
        sums.
        """
        events = signed_leaf_events(weight, stacklevel=2)
        mean_size = np.abs(weight).sum() / np.count_nonzero(weight)
        return max(self.min_child_weight, events * curvature * mean_size)

    def _check_params(self) -> None:
        check_policy(self.negative_weights)
        for name in ("n_estimators", "early_stopping_rounds"):
            value = getattr(self, name)
            if name == "early_stopping_rounds" and value is None:
                continue
            if not isinstance(value, numbers.Integral) or value < 1:
                msg = f"{name} must be a positive integer, got {value!r}"
                raise ValueError(msg)
        if not 0 < self.validation_fraction < 1:
            msg = f"validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}"
            raise ValueError(msg)
        taken = set(_ENGINE_PARAMETERS) | {
            "objective",
            "num_class",
            "base_score",
            "nthread",
            "seed",
        }
        clash = sorted(taken & set(self.engine_params or {}))
        if clash:
            msg = f"engine_params may not set {clash}: the estimator does, by its own parameters"
            raise ValueError(msg)

    def _evaluation_sets(self, eval_set: Any, sample_weight_eval_set: Any) -> list[Any]:
        sets = []
        for k, (X, y, w) in enumerate(evaluation_pairs(eval_set, sample_weight_eval_set)):
            table = self._table(X)
            target = self._encode(y)
            if len(target) != len(table):
                msg = f"eval_set[{k}] has {len(table)} events in X and {len(target)} in y"
                raise ValueError(msg)
            weight = check_event_weight(w, len(target), name=f"sample_weight_eval_set[{k}]")
            sets.append((f"validation_{k}", table, target, weight))
        return sets

    def _table(self, X: Any) -> NDArray[np.float32]:
        return validate_data(
            self,
            unmasked(align_columns(self, X)),
            reset=False,
            dtype=np.float32,
            ensure_all_finite="allow-nan",
        )

    def _monotone(self) -> tuple[int, ...]:
        given = self.monotone_constraints
        n = self.n_features_in_
        if given is None:
            given = (0,) * n
        if isinstance(given, dict):
            names = list(getattr(self, "feature_names_in_", range(n)))
            unknown = [name for name in given if name not in names]
            if unknown:
                msg = f"monotone_constraints names {unknown}, but the features are {names}"
                raise ValueError(msg)
            values = tuple(given.get(name, 0) for name in names)
        else:
            values = tuple(given)
        if len(values) != n or any(value not in (-1, 0, 1) for value in values):
            msg = f"monotone_constraints needs -1, 0 or 1 for each of {n} features, got {given!r}"
            raise ValueError(msg)
        return tuple(np.array(values)[self._tree_columns()].tolist())

    # --- predict --------------------------------------------------------------------------------

    def _output(self, X: Any, *, margin: bool) -> NDArray[np.float32]:
        check_is_fitted(self, "booster_")
        table = self._table(X)
        return self.booster_.inplace_predict(
            table[:, self._tree_columns()],
            predict_type="margin" if margin else "value",
            validate_features=False,
        )

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Total gain of the splits on each feature, normalised to 1."""
        return self.importances("total_gain")

    def importances(self, kind: str = "total_gain") -> NDArray[np.float64]:
        """Importances that the trees themselves give.

        Parameters
        ----------
        kind : {"total_gain", "gain", "weight", "total_cover", "cover"}, default="total_gain"
            Summed or mean gain of splits, their number, summed or mean hessian.

        Returns
        -------
        ndarray of shape (n_features,)
            Importances, normalised to 1; zeros if no tree has split.
        """
        check_is_fitted(self, "booster_")
        scores = self.booster_.get_score(importance_type=kind)
        columns = np.arange(self.n_features_in_)[self._tree_columns()]
        values = np.zeros(self.n_features_in_)
        values[columns] = [scores.get(f"f{k}", 0.0) for k in range(len(columns))]
        total = values.sum()
        return values / total if total > 0 else values

    def permutation_importances(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        scoring: Any = None,
        n_repeats: int = 5,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> Bunch:
        """Loss of score when a feature is shuffled, by scikit-learn's `permutation_importance`.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Events that the model has not seen.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign if the scorer takes them.
        scoring : str or scorer, default=None
            None takes the model's ``score``.
        n_repeats : int, default=5
            Shuffles of each feature.
        n_jobs : int, default=None
            Features in parallel.
        random_state : int, RandomState instance or None, default=None
            Seed of the shuffles.

        Returns
        -------
        Bunch
            ``importances_mean``, ``importances_std`` and ``importances``.
        """
        return permutation_importance(
            self,
            X,
            y,
            scoring=scoring,
            n_repeats=n_repeats,
            n_jobs=n_jobs,
            random_state=random_state,
            sample_weight=sample_weight,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
