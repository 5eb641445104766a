"""Searches over hyperparameters: convergence, dependence and importance."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from skhep_ml._extras import import_extra
from skhep_ml._format import with_error
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._importance import ImportanceDisplay
from skhep_ml.plotting._style import (
    BAND_ALPHA,
    COLORS,
    grid_cell,
    number_of_curves,
    ticks_inside,
)

Kind = Literal["convergence", "dependence", "importance"]

_KINDS = ("convergence", "dependence", "importance")
_N_GRID = 25
_N_REPLICAS = 10
_N_TREES = 30
_MAX_COLUMNS = 3
#: A parameter that spans more than this factor is shown on a logarithmic axis.
_LOG_SPAN = 20.0


class Dependence(NamedTuple):
    """Dependence of the score on one hyperparameter, averaged over the trials' other ones.

    Attributes
    ----------
    grid : ndarray of shape (n_grid,) or list
        Values of the parameter; categories for one that is not a number.
    mean, std : ndarray of shape (n_grid,)
        Mean score there, and its spread over resamplings of the trials.
    importance, importance_std : float
        Standard deviation of the mean over the grid, and its spread.
    """

    grid: Any
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    importance: float
    importance_std: float


class SearchDisplay(Display):
    r"""Trials of a search: best score so far, dependence on each parameter, or importances.

    Make it with ``from_estimator`` or ``from_cv_results``; scikit-learn's searches do as well as
    `skhep_ml.model_selection.BayesSearchCV`.

    Parameters
    ----------
    values : dict of str to list
        Values of each hyperparameter in every trial; NaN where a trial does not have it.
    score : ndarray of shape (n_trials,)
        Mean score over the splits, in the order of the trials; NaN for failed ones.
    score_std : ndarray of shape (n_trials,)
        Its standard error over the splits.
    kind : {"convergence", "dependence", "importance"}, default="convergence"
        What to draw.
    dependences : dict of str to Dependence, default=None
        Of every hyperparameter that varies; not needed for convergence.
    metric : str, default="score"
        Name of the score.
    name : str, default=None
        Name of the search.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The axes of each parameter, for ``kind="dependence"``.
    ax_ : matplotlib Axes
        The axes drawn on, or those given, whose place the others take.
    figure_ : matplotlib Figure
        Their figure.

    Notes
    -----
    *Convergence*: points are the trials with the standard error over the splits, the line is the
    best so far. The best of many trials is too good by part of that error.

    *Dependence and importance* come from a random forest on the trials, as in functional analysis
    of variance: the score predicted for a value of one parameter, averaged over the other
    parameters of all trials. Its standard deviation over the range that was searched is the
    importance, in units of the score. Bands and error bars are the spread over 10 bootstrap
    resamplings of the trials. A search that goes for good scores makes most trials near them: far
    from there both are rough.

    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.errorbar` for the trials, for
    importances to :meth:`matplotlib.axes.Axes.barh`.

    References
    ----------
    F. Hutter, H. Hoos, K. Leyton-Brown, An efficient approach for assessing hyperparameter
    importance, ICML 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import SearchDisplay
    >>> depth, rate = np.tile([2, 4, 6], 4), np.repeat([0.01, 0.03, 0.1, 0.3], 3)
    >>> trials = {
    ...     "params": [{"max_depth": d, "learning_rate": r} for d, r in zip(depth, rate)],
    ...     "mean_test_score": 0.9 - 0.1 * np.log10(rate / 0.1) ** 2 + 0.001 * depth,
    ...     "std_test_score": np.full(12, 0.01)}
    >>> display = SearchDisplay.from_cv_results(trials, "importance")
    >>> max(display.dependences, key=lambda key: display.dependences[key].importance)
    'learning_rate'
    """

    axes_: list[Any]

    def __init__(
        self,
        *,
        values: Mapping[str, Sequence[Any]],
        score: NDArray[np.float64],
        score_std: NDArray[np.float64],
        kind: Kind = "convergence",
        dependences: Mapping[str, Dependence] | None = None,
        metric: str = "score",
        name: str | None = None,
    ) -> None:
        self.values = values
        self.score = score
        self.score_std = score_std
        self.kind = kind
        self.dependences = dependences
        self.metric = metric
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        kind: Kind = "convergence",
        *,
        metric: str | None = None,
        params: Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the trials of a fitted search.

        Parameters
        ----------
        search : estimator instance
            Fitted `BayesSearchCV`, `GridSearchCV`, `RandomizedSearchCV` or the like.
        kind : {"convergence", "dependence", "importance"}, default="convergence"
            What to draw.
        metric : str, default=None
            Name of the score, of several; None takes the one that the search has refitted for.
        params : sequence of str, default=None
            Hyperparameters to show; None takes all that vary.
        name : str, default=None
            Name of the search; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        SearchDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            An unfitted search, or wrong input as in ``from_cv_results``.
        """
        if not hasattr(search, "cv_results_"):
            msg = f"this {type(search).__name__} has no cv_results_: it is no search, or not fitted"
            raise ValueError(msg)
        refit = getattr(search, "refit", None)
        if metric is None and isinstance(refit, str):
            metric = refit
        return cls.from_cv_results(
            search.cv_results_,
            kind,
            metric=metric,
            params=params,
            name=type(search).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        kind: Kind = "convergence",
        *,
        metric: str | None = None,
        params: Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the trials in the ``cv_results_`` of a search.

        Parameters
        ----------
        cv_results : mapping
            Holds "params", "mean_test_<metric>" and "std_test_<metric>".
        kind : {"convergence", "dependence", "importance"}, default="convergence"
            What to draw.
        metric : str, default=None
            Name of the score; None takes the only one.
        params : sequence of str, default=None
            Hyperparameters to show; None takes all that vary.
        name : str, default=None
            Name of the search.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        SearchDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Unknown kind, metric or hyperparameters, no trial that worked, or, for dependence and
            importance, fewer than five or none that differ.
        """
        if kind not in _KINDS:
            msg = f"kind={kind!r}: choose {', '.join(map(repr, _KINDS))}"
            raise ValueError(msg)
        metric = _check_metric(cv_results, metric)
        score = np.asarray(cv_results[f"mean_test_{metric}"], dtype=np.float64)
        splits = sum(
            key.startswith("split") and key.endswith(f"_test_{metric}") for key in cv_results
        )
        spread = np.asarray(cv_results[f"std_test_{metric}"], dtype=np.float64)
        worked = np.isfinite(score)
        if not worked.any():
            msg = f"no trial has a finite {metric}: all fits or scores failed"
            raise ValueError(msg)
        trials = list(cv_results["params"])
        names = list(dict.fromkeys(key for trial in trials for key in trial))
        values = {key: [trial.get(key, np.nan) for trial in trials] for key in names}
        if params is not None:
            unknown = [key for key in params if key not in values]
            if unknown or not len(params):
                msg = f"params {unknown or list(params)} are not among those searched, {names}"
                raise ValueError(msg)
        dependences = None
        if kind != "convergence":
            dependences = _dependences(values, score, worked)
            if params is not None:
                dependences = {key: dependences[key] for key in params if key in dependences}
            if not dependences:
                msg = "none of the hyperparameters varies over the trials"
                raise ValueError(msg)
        display = cls(
            values=values,
            score=score,
            score_std=spread / np.sqrt(max(splits - 1, 1)),
            kind=kind,
            dependences=dependences,
            metric=metric,
            name=name,
        )
        return display.plot(ax, **kwargs)

    @property
    def _label(self) -> str:
        return "Score" if self.metric == "score" else self.metric.replace("_", " ")

    def _fit_figure(self, figure: Any) -> None:
        if self.kind == "dependence" and self.dependences is not None:
            columns = min(len(self.dependences), _MAX_COLUMNS)
            rows = -(-len(self.dependences) // columns)
            figure.set_size_inches(1.0 + 3.0 * columns, 3.0 * rows)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        if self.kind == "convergence":
            self._draw_convergence(ax, name, **kwargs)
        elif self.kind == "dependence":
            self._draw_dependence(ax, name, **kwargs)
        else:
            found = self.dependences or {}
            ImportanceDisplay(
                names=list(found),
                mean=np.array([one.importance for one in found.values()]),
                std=np.array([one.importance_std for one in found.values()]),
            )._draw(ax, f"Standard deviation of the {self._label.lower()}", **kwargs)
            if name is not None:
                ax.set_title(name, loc="left")

    def _draw_convergence(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        trial = np.arange(1, len(self.score) + 1)
        known = np.where(np.isfinite(self.score), self.score, -np.inf)
        best = int(np.argmax(known))
        found = with_error(float(self.score[best]), float(self.score_std[best]))
        text = f"best {found} in trial {best + 1}"
        color = COLORS[number_of_curves(ax) % len(COLORS)]
        options = {"fmt": "o", "ms": 3, "elinewidth": 0.8, "alpha": 0.5, "color": color, **kwargs}
        ax.errorbar(trial, self.score, self.score_std, **options)
        so_far = np.maximum.accumulate(known)
        ax.step(
            trial,
            np.where(np.isfinite(so_far), so_far, np.nan),
            where="post",
            color=options["color"],
            gid="curve",
            label=text.capitalize() if name is None else f"{name}: {text}",
        )
        ax.set(xlabel="Trial", ylabel=self._label)
        ax.xaxis.set_major_locator(
            import_extra("matplotlib.ticker", "plot").MaxNLocator(integer=True)
        )
        ticks_inside(ax)
        ax.legend(loc="best")

    def _draw_dependence(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        found = dict(self.dependences or {})
        ticker = import_extra("matplotlib.ticker", "plot")
        order = sorted(found, key=lambda key: -found[key].importance)
        columns = min(len(order), _MAX_COLUMNS)
        grid = grid_cell(ax).subgridspec(-(-len(order) // columns), columns)
        self.axes_ = []
        scatter = None
        for k, key in enumerate(order):
            one = found[key]
            share = self.axes_[0] if self.axes_ else None
            panel = ax.figure.add_subplot(grid[k // columns, k % columns], sharey=share)
            self.axes_.append(panel)
            numeric = isinstance(one.grid, np.ndarray)
            has = np.array([not _is_absent(value) for value in self.values[key]])
            has &= np.isfinite(self.score)
            trials = np.flatnonzero(has).tolist()
            chosen = [self.values[key][j] for j in trials]
            x = (
                np.asarray(chosen, dtype=np.float64)
                if numeric
                else np.array([one.grid.index(_text(value)) for value in chosen], dtype=np.float64)
            )
            grey = {"fmt": "none", "ecolor": "0.8", "elinewidth": 0.8, "zorder": 0}
            panel.errorbar(x, self.score[trials], self.score_std[trials], **{**grey, **kwargs})
            scatter = panel.scatter(
                x, self.score[trials], c=np.add(trials, 1), cmap="viridis", s=12, zorder=1
            )
            line = {"color": COLORS[1], "zorder": 2}
            band = one.mean - one.std, one.mean + one.std
            if numeric:
                panel.plot(one.grid, one.mean, **line)
                panel.fill_between(one.grid, *band, alpha=BAND_ALPHA, lw=0, **line)
                if _is_log(x):
                    panel.set_xscale("log")
                    # a panel has room for few numbers, and a range often but one or two decades
                    decades = np.log10(x.max() / x.min())
                    subs = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,)
                    panel.xaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=6))
                    panel.xaxis.set_major_formatter("{x:g}")
                    panel.xaxis.set_minor_formatter(ticker.NullFormatter())
                else:
                    whole = all(isinstance(value, (int, np.integer)) for value in chosen)
                    panel.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=whole))
            else:
                places = np.arange(len(one.grid))
                panel.errorbar(places, one.mean, one.std, fmt="D", ms=4, **line)
                panel.set_xticks(places, one.grid, rotation=30 if len(one.grid) > 3 else 0)
                panel.set_xlim(-0.5, len(one.grid) - 0.5)
            panel.set_xlabel(key.rpartition("__")[2])
            ticks_inside(panel, minor=numeric)
            if k % columns:
                panel.tick_params(labelleft=False)
            else:
                panel.set_ylabel(self._label)
        bar = ax.figure.colorbar(scatter, ax=self.axes_, label="Trial", pad=0.02)
        bar.ax.tick_params(direction="in")
        if name is not None:
            self.axes_[0].set_title(name, loc="left", fontsize=10)


def _check_metric(cv_results: Mapping[str, Any], metric: str | None) -> str:
    start = "mean_test_"
    known = [key.removeprefix(start) for key in cv_results if key.startswith(start)]
    if metric is None and len(known) == 1:
        return known[0]
    if metric not in known:
        msg = f"metric={metric!r}: choose one of {known}"
        raise ValueError(msg)
    return str(metric)


def _text(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value)


def _is_absent(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))


def _is_log(values: NDArray[np.float64]) -> bool:
    return bool(values.min() > 0 and values.max() > _LOG_SPAN * values.min())


def _dependences(
    values: Mapping[str, Sequence[Any]], score: NDArray[np.float64], worked: NDArray[np.bool_]
) -> dict[str, Dependence]:
    """Dependence on every parameter that varies, from forests on the trials."""
    trials = np.flatnonzero(worked).tolist()
    if len(trials) < 5:
        msg = f"{len(trials)} trials that worked are too few to tell the parameters' effects: 5"
        raise ValueError(msg)
    columns, grids = {}, {}
    for key, column in values.items():
        encoded, grid, labels = _encoded([column[k] for k in trials])
        if len(grid) > 1:
            columns[key], grids[key] = encoded, (grid, labels)
    if not columns:
        return {}
    X, y = np.column_stack(list(columns.values())), score[trials]
    rng = np.random.default_rng(0)
    samples = [np.arange(len(y))]
    samples += [rng.integers(0, len(y), len(y)) for _ in range(_N_REPLICAS)]
    forests = [
        RandomForestRegressor(_N_TREES, min_samples_leaf=2, random_state=0).fit(X[rows], y[rows])
        for rows in samples
    ]
    found = {}
    for j, (key, (grid, labels)) in enumerate(grids.items()):
        # averaged over the trials that have the parameter
        base = X[~np.isnan(X[:, j])]
        table = np.repeat(base[np.newaxis], len(grid), axis=0)
        table[:, :, j] = grid[:, np.newaxis]
        flat = table.reshape(-1, X.shape[1])
        means = np.array([one.predict(flat).reshape(len(grid), -1).mean(axis=1) for one in forests])
        sizes = means.std(axis=1)
        found[key] = Dependence(
            grid=labels,
            mean=means[0],
            std=means[1:].std(axis=0, ddof=1),
            importance=float(sizes[0]),
            importance_std=float(sizes[1:].std(ddof=1)),
        )
    return found


def _encoded(column: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Values as numbers, NaN where there is none; a grid of them, and what it stands for."""
    present = [value for value in column if not _is_absent(value)]
    if present and all(_is_number(value) for value in present):
        numbers = np.array(column, dtype=np.float64)
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        if not low < high:
            return numbers, np.array([low]), np.array([low])
        if _is_log(numbers[~np.isnan(numbers)]):
            grid = np.geomspace(low, high, _N_GRID)
            # forests split between values: halfway on the axis that is shown
            return np.log(numbers), np.log(grid), grid
        grid = np.linspace(low, high, _N_GRID)
        return numbers, grid, grid
    labels = sorted({_text(value) for value in present})
    codes = np.array([np.nan if _is_absent(v) else labels.index(_text(v)) for v in column])
    return codes, np.arange(len(labels), dtype=np.float64), labels
