"""Bayesian search over hyperparameters: scikit-optimize's, repaired."""

import copy
import difflib
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numpy as np
import skopt
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import assert_all_finite, check_random_state
from skopt.callbacks import check_callback
from skopt.space import Categorical, check_dimension
from skopt.utils import eval_callbacks, point_asdict
from threadpoolctl import ThreadpoolController

from skhep_ml.model_selection._search_space import search_space
from skhep_ml.model_selection._surrogates import QuantileBoosting, gaussian_process
from skhep_ml.model_selection._trials import TrialFile, recorded_seed

_SURROGATES = ("GP", "RF", "ET", "GBRT", "random")
_ACQUISITIONS = {"hedge": "gp_hedge", "EI": "EI", "PI": "PI", "LCB": "LCB"}
# parts of a trial's outcome that cv_results_ is made of
_OUTCOME = ("test_scores", "train_scores", "n_test_samples", "fit_time", "score_time", "fit_error")

_FOR_ONE_FIT = (
    "_spaces",
    "_stop",
    "_trials",
    "_progress",
    "_history",
    "_pending",
    "_n_formatted",
)


class BayesSearchCV(skopt.BayesSearchCV):
    """Search for the best hyperparameters by a model of the score, as scikit-optimize does.

    scikit-optimize's class, with what keeps it from use repaired: metadata routing, threads,
    surrogates, failed trials and killed runs. Its parameters keep their names and their order.

    Parameters
    ----------
    estimator : estimator
        Model, Pipeline or meta-estimator to tune.
    search_spaces : dict, list of dict or list of (dict, int), default=None
        Range of each parameter: ``(low, high)``, ``(low, high, "log-uniform")``, a list of values
        of any kind (two numbers are a range in a list too), or a dimension of ``skopt.space``. A
        list of spaces is searched one after the other, each for ``n_iter`` trials or as many as
        are given with it. None takes `search_space`, which knows sensible ranges for the models
        of this package.
    optimizer_kwargs : dict, default=None
        More arguments for ``skopt.Optimizer``.
    n_iter : int, default=50
        Number of trials.
    scoring : str, callable, list or dict, default=None
        As in scikit-learn; of several metrics, ``refit`` names the one that is searched for.
    fit_params : dict, default=None
        Not used; give them to `fit`.
    n_jobs : int, default=1
        Fits in parallel, on any joblib backend.
    n_points : int, default=1
        Trials asked for at once; with ``n_jobs`` they run in parallel.
    iid : str, default="deprecated"
        Not used.
    refit : bool or str, default=True
        Whether to fit the best model on all events at the end.
    cv : int, splitter or iterable, default=None
        As in scikit-learn; `EventNumberKFold` splits by event number.
    verbose : int, default=0
        1 shows a progress bar with the best score, more what scikit-learn prints for each fit.
    pre_dispatch : int or str, default="2*n_jobs"
        As in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Seed of the search.
    error_score : "raise" or float, default="raise"
        Score of a trial whose fit fails. With NaN the search takes it for as bad as the worst
        trial.
    return_train_score : bool, default=False
        Whether to score the training events too.
    surrogate : {"GP", "RF", "ET", "GBRT", "random"}, default="GP"
        Model of the score: Gaussian process, random forest, extra trees, boosted quantiles; or
        random points.
    acquisition : {"EI", "PI", "LCB", "hedge"}, default="EI"
        What chooses the next point: expected improvement, probability of improvement, lower
        confidence bound, or a choice among them that learns.
    n_initial_points : int, default=10
        Random trials before the model of the score is used.
    time_limit : float, default=None
        Seconds after which no new trial is begun.
    checkpoint : path-like, default=None
        File to which every finished batch of trials is written at once. A search that finds it
        continues after its last trial, and ends with the same trials as one that was never
        interrupted; a larger ``n_iter`` continues a finished one. A search of another kind or on
        other data refuses the file. The one training that is never recorded is the final refit.
    callback : callable or list of callables, default=None
        Called after each batch with the result so far, an ``OptimizeResult``; the search ends
        where one returns True.

    Attributes
    ----------
    best_params_, best_score_, best_estimator_, best_index_, cv_results_, n_splits_ :
        As in scikit-learn.
    optimizer_results_ : list of OptimizeResult
        Trials and surrogates, one entry a space.
    stopped_by_ : {"n_iter", "time_limit", "callback"}
        What ended the search.
    random_state_ : int or RandomState
        The seed that was used.

    See Also
    --------
    search_space : Ranges for the models of this package.
    sklearn.model_selection.RandomizedSearchCV : Random trials.

    Notes
    -----
    The Gaussian process is scikit-optimize's with likelihood and gradients in closed form. It runs
    in one thread: on few trials, threads cost more than they give. For single trials it is fitted
    once a trial (scikit-optimize: three times). Scores further below the median than the best is
    above it count as if they were at that distance, and the least improvement that EI and PI ask
    for is 1% of the scores' standard deviation. Points depend on the seed and the scores alone.

    References
    ----------
    .. [1] J. Snoek, H. Larochelle, R. P. Adams, "Practical Bayesian optimization of machine
       learning algorithms", NeurIPS 2012, arXiv:1206.2944.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skhep_ml.model_selection import BayesSearchCV
    >>> X, y = make_classification(random_state=0)
    >>> search = BayesSearchCV(
    ...     LogisticRegression(), {"C": (1e-3, 1e3, "log-uniform")}, n_iter=12, random_state=0
    ... ).fit(X, y)
    >>> len(search.cv_results_["params"])
    12
    """

    verbose: int

    def __init__(
        self,
        estimator: Any,
        search_spaces: Any = None,
        optimizer_kwargs: dict[str, Any] | None = None,
        n_iter: int = 50,
        scoring: Any = None,
        fit_params: dict[str, Any] | None = None,
        n_jobs: int | None = 1,
        n_points: int = 1,
        iid: Any = "deprecated",
        refit: bool | str = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = "raise",
        return_train_score: bool = False,
        *,
        surrogate: Any = "GP",
        acquisition: str = "EI",
        n_initial_points: int = 10,
        time_limit: float | None = None,
        checkpoint: Any = None,
        callback: Any = None,
    ) -> None:
        # scikit-optimize's own constructor checks the space, which belongs into fit
        super(skopt.BayesSearchCV, self).__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.search_spaces = search_spaces
        self.optimizer_kwargs = optimizer_kwargs
        self.n_iter = n_iter
        self.fit_params = fit_params
        self.n_points = n_points
        self.iid = iid
        self.random_state = random_state
        self.surrogate = surrogate
        self.acquisition = acquisition
        self.n_initial_points = n_initial_points
        self.time_limit = time_limit
        self.checkpoint = checkpoint
        self.callback = callback

    def fit(
        self, X: Any, y: ArrayLike | None = None, *, callback: Any = None, **params: Any
    ) -> Any:
        """Run the search.

        Parameters
        ----------
        X : array-like
            Events, of any kind that the estimator takes.
        y : array-like of shape (n_events,), default=None
            Target.
        callback : callable or list of callables, default=None
            In place of the constructor's.
        **params : dict
            ``sample_weight``, ``groups`` and other metadata, as in scikit-learn's searches.

        Returns
        -------
        self : object
            The search, fitted.

        Raises
        ------
        ValueError
            Unknown names in the space, parameters out of range, or a checkpoint of another search.

        Warns
        -----
        UserWarning
            A damaged checkpoint.
        """
        params = {name: value for name, value in params.items() if value is not None}
        if y is not None and np.asarray(y).dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        self._check_params()
        self._spaces = self._make_spaces()
        self._stop = check_callback(self.callback if callback is None else callback)
        self._trials: TrialFile | None = None
        self.random_state_ = self.random_state
        if self.checkpoint is not None:
            self._open_checkpoint(X, y, params)
        verbose, self.verbose = self.verbose, max(self.verbose - 1, 0)
        self._progress = verbose > 0
        try:
            super(skopt.BayesSearchCV, self).fit(X, y, **params)
        finally:
            self.verbose = verbose
            for name in _FOR_ONE_FIT:
                self.__dict__.pop(name, None)
        if self.return_train_score:
            for name in [n for n in self.cv_results_ if n.startswith("mean_train_")]:
                ranks = rankdata(-np.asarray(self.cv_results_[name]), method="min")
                self.cv_results_[name.replace("mean", "rank", 1)] = ranks.astype(int)
        return self

    # --- before the search ------------------------------------------------------------------------

    def _check_params(self) -> None:
        for name in ("n_iter", "n_points", "n_initial_points"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                msg = f"{name} must be a positive integer, got {value!r}"
                raise ValueError(msg)
        if isinstance(self.surrogate, str) and self.surrogate not in _SURROGATES:
            msg = f"surrogate must be one of {_SURROGATES} or a regressor, got {self.surrogate!r}"
            raise ValueError(msg)
        if self.acquisition not in _ACQUISITIONS:
            msg = f"acquisition must be one of {tuple(_ACQUISITIONS)}, got {self.acquisition!r}"
            raise ValueError(msg)
        if self.time_limit is not None and not self.time_limit > 0:
            msg = f"time_limit must be a positive number of seconds, got {self.time_limit!r}"
            raise ValueError(msg)
        if callable(self.refit):
            msg = "refit may not be callable: the search needs one score to improve; name a metric"
            raise ValueError(msg)

    def _make_spaces(self) -> list[tuple[dict[str, Any], int]]:
        """Return the spaces with dimensions made, and the number of trials of each."""
        given = search_space(self.estimator) if self.search_spaces is None else self.search_spaces
        spaces = []
        for entry in [given] if isinstance(given, dict) else list(given):
            space, n_iter = entry if isinstance(entry, tuple) else (entry, self.n_iter)
            if not isinstance(space, dict) or not isinstance(n_iter, (int, np.integer)):
                msg = f"search_spaces must hold dicts or pairs (dict, int), got {entry!r}"
                raise ValueError(msg)
            if not space:
                msg = "search_spaces holds an empty space: name at least one parameter and range"
                raise ValueError(msg)
            dimensions = {}
            for name in sorted(space):
                try:
                    dimensions[name] = copy.copy(check_dimension(space[name]))
                except (ValueError, TypeError) as error:
                    why = str(error)
                    if "Invalid dimension" in why:
                        why = (
                            "write (low, high), (low, high, 'log-uniform') or a list of values, "
                            "not one value nor a distribution of scipy"
                        )
                    msg = f"search_spaces[{name!r}] = {space[name]!r} is no range: {why}"
                    raise ValueError(msg) from error
                dimensions[name].name = name
            self._check_names(dimensions)
            spaces.append((dimensions, int(n_iter)))
        if not spaces:
            msg = "search_spaces is empty: name at least one parameter and its range"
            raise ValueError(msg)
        return spaces

    def _check_names(self, dimensions: dict[str, Any]) -> None:
        known = list(self.estimator.get_params())
        for name, dimension in dimensions.items():
            if name in known:
                continue
            value = dimension.rvs(random_state=0)[0]
            try:  # skorch's module__hidden and the like are parameters that are not listed
                clone(self.estimator).set_params(**{name: value})
            except ValueError as error:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                msg = f"search_spaces names {name!r}, no parameter of the estimator{hint}"
                raise ValueError(msg) from error

    def _open_checkpoint(self, X: Any, y: Any, params: dict[str, Any]) -> None:
        seed = self.random_state
        if seed is None:
            seed = recorded_seed(self.checkpoint)
            if seed is None:
                seed = int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        elif not isinstance(seed, (int, np.integer)):
            msg = "checkpoint= needs random_state as an integer or None, to repeat the search"
            raise ValueError(msg)
        self.random_state_ = int(seed)
        search = {
            "estimator": _described(self.estimator),
            # the number of trials may grow in the last space only, behind what is recorded
            "search_spaces": repr([*self._spaces[:-1], self._spaces[-1][0]]),
            "scoring": _described(self.scoring),
            "refit": repr(self.refit if isinstance(self.refit, str) else bool(self.refit)),
            "cv": _described(self.cv),
            "n_points": repr(self.n_points),
            "surrogate": _described(self.surrogate),
            "acquisition": self.acquisition,
            "n_initial_points": repr(self.n_initial_points),
            "optimizer_kwargs": _described(self.optimizer_kwargs),
            "return_train_score": repr(self.return_train_score),
            "random_state": repr(self.random_state_),
            "data": joblib.hash([X, y, sorted(params.items())]),
        }
        self._trials = TrialFile(self.checkpoint, search)

    # --- the search -------------------------------------------------------------------------------

    def _optimizer(self, space: dict[str, Any], random_state: np.random.RandomState) -> Any:
        dimensions = [_numbered(space[name]) for name in sorted(space)]
        options = {
            "base_estimator": self.surrogate,
            "acq_func": _ACQUISITIONS[self.acquisition],
            "acq_func_kwargs": {"xi": 0.0},
            "n_initial_points": self.n_initial_points,
            "random_state": random_state,
        }
        if self.surrogate == "random":  # the first points are; a surrogate is never made
            options |= {"base_estimator": "RF", "n_initial_points": sys.maxsize}
        elif self.surrogate == "GBRT":
            seed = random_state.randint(2**31 - 1)
            options |= {"base_estimator": QuantileBoosting(seed), "acq_optimizer": "sampling"}
        elif self.surrogate == "GP":
            options["base_estimator"] = gaussian_process(dimensions, random_state)
            # gradient descents of the acquisition start at the best of random points
            options["acq_optimizer_kwargs"] = {"n_points": 2000, "n_restarts_optimizer": 3}
        options |= self.optimizer_kwargs or {}
        return skopt.Optimizer(dimensions=dimensions, **options)

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        random_state = check_random_state(self.random_state_)
        self.optimizers_ = [self._optimizer(space, random_state) for space, _ in self._spaces]
        self._optim_results: list[Any] = []
        self._history: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []
        self._n_formatted = 0
        recorded: Iterator[dict[str, Any]] = iter(
            [] if self._trials is None else self._trials.read()
        )
        began = time.monotonic()
        self.stopped_by_ = "n_iter"
        threads = ThreadpoolController()
        bar = _Bar(sum(n_iter for _, n_iter in self._spaces) if self._progress else None)
        for k, ((space, n_iter), optimizer) in enumerate(
            zip(self._spaces, self.optimizers_, strict=True)
        ):
            scores: list[float] = []
            result = None
            while len(scores) < n_iter and self.stopped_by_ == "n_iter":
                batch = next(recorded, None)
                late = time.monotonic() - began > (self.time_limit or np.inf)
                if batch is None and late and self._history:
                    self.stopped_by_ = "time_limit"
                    break
                n_left = min(self.n_points, n_iter - len(scores))
                with threads.limit(limits=1):
                    points = _ask(optimizer, n_left if batch is None else len(batch["points"]))
                points = points if batch is None else batch["points"]
                candidates = [point_asdict(space, _values(space, point)) for point in points]
                if batch is None:
                    outcomes = self._evaluate(evaluate_candidates, candidates)
                    if self._trials is not None:
                        self._trials.append({"space": k, "points": points, "outcomes": outcomes})
                else:
                    self._history.append((candidates, batch["outcomes"]))
                new = list(self._scores(self._history[-1][1], len(points)))
                scores += new
                finite = [score for score in scores if np.isfinite(score)]
                worst = min(finite, default=0.0)
                known = [score if np.isfinite(score) else worst for score in new]
                if "acq_func_kwargs" not in (self.optimizer_kwargs or {}):
                    # scikit-optimize asks for improvements of 0.01 whatever the unit: all that is
                    # left to gain of an AUC, nothing of a rejection
                    spread = float(np.std([*optimizer.yi, *(-score for score in known)]))
                    optimizer.acq_func_kwargs["xi"] = 0.01 * spread
                with threads.limit(limits=1):
                    result = optimizer.tell(points, [-score for score in known])
                result.x_iters = [_values(space, point) for point in result.x_iters]
                result.x = _values(space, result.x)
                bar.update(len(points), max(finite, default=np.nan))
                if eval_callbacks(self._stop, result):
                    self.stopped_by_ = "callback"
            if result is not None:
                self._optim_results.append(result)
        bar.close()
        if self._n_formatted < len(self._history):
            self._show_history(evaluate_candidates)

    def _evaluate(
        self, evaluate_candidates: Callable[..., Any], candidates: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Train and score; return the outcome of every point in every split."""
        self._pending: list[dict[str, Any]] | None = candidates
        try:
            evaluate_candidates(candidates)
        except ValueError as error:
            # scikit-learn's searches give up where all fits of one call fail
            if self.error_score == "raise" or "fits failed" not in str(error):
                raise
            warnings.warn(str(error), FitFailedWarning, stacklevel=2)
            failed: dict[str, Any] = {"test_scores": self.error_score}
            self._history.append((candidates, [failed] * (len(candidates) * self.n_splits_)))
        return self._history[-1][1]

    def _show_history(self, evaluate_candidates: Callable[..., Any]) -> None:
        """Hand trials to scikit-learn's search, which has not seen the last ones trained.

        It takes them only with a training, so a batch that worked is trained once more; its
        recorded outcome stands.
        """
        for candidates, outcomes in reversed(self._history):
            if any(np.isfinite(score) for score in self._scores(outcomes, len(candidates))):
                self._pending = None
                evaluate_candidates(candidates)
                return
        msg = "the fits of every trial failed: try the estimator alone, or error_score='raise'"
        raise ValueError(msg)

    def _format_results(
        self, candidate_params: list[Any], n_splits: int, out: list[Any], more_results: Any = None
    ) -> dict[str, Any]:
        # the lists belong to scikit-learn's fit, which has appended what it has just trained
        if self._pending is not None:
            new = out[-len(self._pending) * n_splits :]
            kept = [{name: trial[name] for name in _OUTCOME if name in trial} for trial in new]
            self._history.append((self._pending, kept))
        candidate_params[:] = [point for points, _ in self._history for point in points]
        out[:] = [trial for _, outcomes in self._history for trial in outcomes]
        whole = next(trial for trial in out if len(trial) > 1)
        out[:] = [trial if len(trial) > 1 else _failed_like(whole, trial) for trial in out]
        self._n_formatted = len(self._history)
        return super()._format_results(candidate_params, n_splits, out, more_results)

    def _scores(self, outcomes: list[dict[str, Any]], n_points: int) -> Iterator[float]:
        """Yield the score of every point that the search shall raise."""
        values = [outcome["test_scores"] for outcome in outcomes]
        if any(isinstance(value, dict) for value in values):
            several = next(value for value in values if isinstance(value, dict))
            self._check_refit_for_multimetric(several)
            values = [v.get(self.refit, np.nan) if isinstance(v, dict) else v for v in values]
        for part in np.array_split(np.asarray(values, dtype=np.float64), n_points):
            yield float(np.mean(part))


def _ask(optimizer: Any, n_points: int) -> list[list[Any]]:
    """Next points as plain Python values."""
    # asked for one of several, scikit-optimize copies itself and fits two more surrogates
    with warnings.catch_warnings():
        # small spaces are searched more than once over; it then takes a random point
        warnings.filterwarnings("ignore", "The objective has been evaluated", UserWarning)
        points = [optimizer.ask()] if n_points == 1 else optimizer.ask(n_points=n_points)
    return [[_plain(value) for value in point] for point in points]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _numbered(dimension: Any) -> Any:
    """Dimension with its categories by number: scikit-optimize cannot tell tuples and the like."""
    if not isinstance(dimension, Categorical):
        return dimension
    numbers = range(len(dimension.categories))
    return Categorical(
        numbers, prior=dimension.prior, transform=dimension.transform_, name=dimension.name
    )


def _values(space: dict[str, Any], point: list[Any]) -> list[Any]:
    """Replace the numbers of categories by their values."""
    return [
        _plain(dimension.categories[value]) if isinstance(dimension, Categorical) else value
        for dimension, value in zip(space.values(), point, strict=True)
    ]


def _failed_like(whole: dict[str, Any], failed: dict[str, Any]) -> dict[str, Any]:
    """Outcome of a fit that failed, with all that another has."""
    score = failed["test_scores"]
    like: dict[str, Any] = dict.fromkeys(whole, 0)
    for name in ("test_scores", "train_scores"):
        if name in whole:
            scores = whole[name]
            like[name] = dict.fromkeys(scores, score) if isinstance(scores, dict) else score
    return like


def _described(value: Any) -> str:
    """Text that is the same in another process: parameters of estimators, no addresses."""
    if hasattr(value, "get_params"):
        params = {
            name: type(part).__qualname__ if hasattr(part, "get_params") else part
            for name, part in value.get_params().items()
        }
        text = f"{type(value).__qualname__}({sorted(params.items(), key=lambda item: item[0])!r})"
    elif isinstance(value, (list, tuple)) and any(
        isinstance(v, (tuple, np.ndarray)) for v in value
    ):
        text = joblib.hash(value)  # splits given as arrays of rows
    else:
        text = repr(value)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


class _Bar:
    """Progress bar of trials with the best score; silent without a total."""

    def __init__(self, total: int | None) -> None:
        self._bar = None
        if total is not None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc="trials", leave=False, mininterval=0)

    def update(self, n: int, best: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix(best=f"{best:.5g}", refresh=False)
            self._bar.update(n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
