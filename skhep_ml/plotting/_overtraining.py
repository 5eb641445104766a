"""Comparison of training and test scores."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._identifiers import take_id_columns
from skhep_ml._validation import check_event_weight, positive_mask
from skhep_ml.metrics import KSResult, ks_2samp_weighted
from skhep_ml.metrics._base import binary_sample
from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.plotting._base import Display, positive_score
from skhep_ml.plotting._comparison import check_folds
from skhep_ml.plotting._histogram import histogram, score_edges
from skhep_ml.plotting._style import BACKGROUND, SIGNAL, ticks_inside


class OvertrainingDisplay(Display):
    r"""Score shapes of signal and background in training and test events.

    Make it with ``from_estimator`` or ``from_predictions``, for a rotating model with
    ``from_folds``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    train : ndarray of shape (2, n_bins)
        Training densities of background (row 0) and signal (row 1), each of unit area.
    train_errors : ndarray of shape (2, n_bins)
        Their statistical errors.
    test : ndarray of shape (2, n_bins)
        The same for test events.
    test_errors : ndarray of shape (2, n_bins)
        Their statistical errors.
    ks_signal : KSResult
        Weighted Kolmogorov-Smirnov test of training against test signal.
    ks_background : KSResult
        The same for background.
    fold_tests : ndarray of shape (n_folds, 2, n_bins), default=None
        Test densities of every fold of a rotating model.
    name : str, default=None
        Name of the model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.ks_2samp_weighted : The test.

    Notes
    -----
    Errors are those of a share, :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2` with
    p being 1 for the events of a bin. The test takes the scores themselves, not the bins; with
    negative weights its p-value comes from permutations. Small p-values mean that the model knows
    its training events better than others; that alone does not say that another would do better
    on test events.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.errorbar` for the test points.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import OvertrainingDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 500)
    >>> display = OvertrainingDisplay.from_predictions(y, rng.normal(y), y, rng.normal(y), bins=10)
    >>> display.ks_signal.pvalue > 0.01
    True
    """

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        train: NDArray[np.float64],
        train_errors: NDArray[np.float64],
        test: NDArray[np.float64],
        test_errors: NDArray[np.float64],
        ks_signal: KSResult,
        ks_background: KSResult,
        fold_tests: NDArray[np.float64] | None = None,
        name: str | None = None,
    ) -> None:
        self.edges = edges
        self.train = train
        self.train_errors = train_errors
        self.test = test
        self.test_errors = test_errors
        self.ks_signal = ks_signal
        self.ks_background = ks_background
        self.fold_tests = fold_tests
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_train: ArrayLike,
        s_train: ArrayLike,
        y_test: ArrayLike,
        s_test: ArrayLike,
        *,
        sample_weight_train: ArrayLike | None = None,
        sample_weight_test: ArrayLike | None = None,
        pos_label: Any = None,
        bins: ArrayLike = 30,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the comparison of given scores.

        Parameters
        ----------
        y_train : array-like of shape (n_train,)
            Labels of the training events, of two classes.
        s_train : array-like of shape (n_train,)
            Their scores, greater for signal; infinities count in the outermost bins.
        y_test : array-like of shape (n_test,)
            Labels of the test events.
        s_test : array-like of shape (n_test,)
            Their scores.
        sample_weight_train : array-like of shape (n_train,), default=None
            Weights of the training events, of any sign; None counts events.
        sample_weight_test : array-like of shape (n_test,), default=None
            Weights of the test events.
        pos_label : label, default=None
            The signal label; None takes 1 of {0, 1} or {-1, 1}.
        bins : int or array-like of shape (n_bins + 1,), default=30
            Number of bins of equal width, or their rising edges.
        name : str, default=None
            Name of the model, shown at the score's axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        OvertrainingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            NaN scores, lengths that differ, edges that do not rise, or a class that is missing or
            whose weights sum to 0 or less.
        """
        samples = []
        for what, y, score, weight in (
            ("train", y_train, s_train, sample_weight_train),
            ("test", y_test, s_test, sample_weight_test),
        ):
            positive = positive_mask(y, pos_label)
            weight = check_event_weight(weight, len(positive), name=f"sample_weight_{what}")
            samples.append(binary_sample(positive, score, weight))
        edges = score_edges(np.concatenate([score for _, score, _ in samples]), bins)
        (train, train_errors), (test, test_errors) = (_shapes(one, edges) for one in samples)
        tests = _tests(*samples)
        display = cls(
            edges=edges,
            train=train,
            train_errors=train_errors,
            test=test,
            test_errors=test_errors,
            ks_signal=tests[1],
            ks_background=tests[0],
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_folds(
        cls,
        estimator: RotatingClassifier,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        bins: ArrayLike = 30,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the comparison for all models of a rotating one.

        Parameters
        ----------
        estimator : RotatingClassifier
            Fitted with event identifiers.
        X : array-like of shape (n_events, n_features)
            Features of the events of the fit, with the identifiers among them where the model's
            ``id_columns`` says so.
        y : array-like of shape (n_events,)
            Their labels.
        sample_weight : array-like of shape (n_events,), default=None
            Their weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.
        pos_label : label, default=None
            The signal label; None takes the second of the model's classes.
        bins : int or array-like of shape (n_bins + 1,), default=30
            Number of bins of equal width, or their rising edges.
        name : str, default=None
            Name of the model, shown at the score's axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        OvertrainingDisplay
            The display, drawn. Training: the mean over the models of the shape in the events that
            each was trained on. Test: every event with the model that never saw it, as points for
            all and as a thin line for each fold. Tests: that of the fold with the smallest
            p-value, which is multiplied by the number of folds (Bonferroni).

        Raises
        ------
        TypeError
            The model is none that rotates.
        ValueError
            Missing or wrong identifiers, a fold without one of the classes, or wrong input as in
            ``from_predictions``.
        """
        fold = check_folds(estimator, X, groups)
        if estimator.id_columns is not None:
            X, _ = take_id_columns(X, estimator.id_columns)
        n_folds = len(estimator.estimators_)
        weight = check_event_weight(sample_weight, len(fold))
        train: list[Any] = []
        test: list[Any] = []
        for k, model in enumerate(estimator.estimators_):
            score, label = positive_score(model, X, pos_label=pos_label)
            positive = positive_mask(y, label)
            held = fold == k
            seen = ~held
            if estimator.validation_fold:
                seen &= fold != (k + 1) % n_folds
            for rows, into in ((seen, train), (held, test)):
                part = None if weight is None else weight[rows]
                try:
                    into.append(binary_sample(positive[rows], score[rows], part))
                except ValueError as error:
                    where = "outside" if into is train else "in"
                    msg = f"events {where} fold {k} ({np.count_nonzero(rows)} events): {error}"
                    raise ValueError(msg) from error
        edges = score_edges(np.concatenate([score for _, score, _ in test]), bins)
        pooled = [
            None if parts[0] is None else np.concatenate(parts) for parts in zip(*test, strict=True)
        ]
        values, errors = _shapes(pooled, edges)
        trained = np.array([_shapes(one, edges) for one in train])
        tests = [_tests(*pair) for pair in zip(train, test, strict=True)]
        worst = [min(kind, key=lambda ks: ks.pvalue) for kind in zip(*tests, strict=True)]
        background, signal = (ks._replace(pvalue=min(1.0, n_folds * ks.pvalue)) for ks in worst)
        display = cls(
            edges=edges,
            train=trained[:, 0].mean(axis=0),
            # an event trains nearly all of the models: their errors do not average out
            train_errors=trained[:, 1].mean(axis=0),
            test=values,
            test_errors=errors,
            ks_signal=signal,
            ks_background=background,
            fold_tests=np.array([_shapes(one, edges)[0] for one in test]),
            name=type(estimator).__name__ if name is None else name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_train: Any,
        y_train: ArrayLike,
        X_test: Any,
        y_test: ArrayLike,
        *,
        sample_weight_train: ArrayLike | None = None,
        sample_weight_test: ArrayLike | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the comparison for a fitted model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, Pipeline or search. For a rotating model see ``from_folds``.
        X_train : array-like of shape (n_train, n_features)
            Features of the events it was trained on.
        y_train : array-like of shape (n_train,)
            Their labels.
        X_test : array-like of shape (n_test, n_features)
            Features of other events.
        y_test : array-like of shape (n_test,)
            Their labels.
        sample_weight_train : array-like of shape (n_train,), default=None
            Weights of the training events, of any sign; None counts events.
        sample_weight_test : array-like of shape (n_test,), default=None
            Weights of the test events.
        pos_label : label, default=None
            The signal label; None takes the second of the model's classes.
        name : str, default=None
            Name of the model; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        OvertrainingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            A model of other than two classes without ``pos_label``, or wrong input as in
            ``from_predictions``.
        """
        s_train, label = positive_score(estimator, X_train, pos_label=pos_label)
        s_test, _ = positive_score(estimator, X_test, pos_label=pos_label)
        return cls.from_predictions(
            y_train,
            s_train,
            y_test,
            s_test,
            sample_weight_train=sample_weight_train,
            sample_weight_test=sample_weight_test,
            pos_label=label,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        edges = self.edges
        centres = (edges[1:] + edges[:-1]) / 2
        kinds = (
            (0, "Background", BACKGROUND, self.ks_background),
            (1, "Signal", SIGNAL, self.ks_signal),
        )
        fills, points = [], []
        for k, label, color, ks in kinds:
            values, errors = self.train[k], self.train_errors[k]
            fills.append(
                ax.stairs(values, edges, fill=True, alpha=0.3, color=color, label=f"{label}, train")
            )
            ax.stairs(
                values + errors, edges, baseline=values - errors, fill=True, alpha=0.4, color=color
            )
            if self.fold_tests is not None:
                thin = {"baseline": None, "color": color, "lw": 0.6, "alpha": 0.7}
                for fold in self.fold_tests[:, k]:
                    line = ax.stairs(fold, edges, **thin)
                if k:
                    line.set_label(f"{len(self.fold_tests)} folds, test")
                    fills.append(line)
            options = {
                "marker": "o",
                "ls": "none",
                "ms": 3.5,
                "elinewidth": 1,
                "color": color,
                **kwargs,
            }
            points.append(
                ax.errorbar(
                    centres,
                    self.test[k],
                    self.test_errors[k],
                    label=f"{label}, test (KS p = {ks.pvalue:.2g})",
                    **options,
                )
            )
        values = np.stack([self.train, self.test])
        errors = np.stack([self.train_errors, self.test_errors])
        if values.min() < 0:
            ax.axhline(0, color="black", lw=0.8)
        ax.set(
            xlabel="Score" if name is None else f"{name} score",
            ylabel="Density",
            xlim=(edges[0], edges[-1]),
            ylim=(1.05 * min(0.0, (values - errors).min()), 1.3 * (values + errors).max()),
        )
        ticks_inside(ax)
        ax.legend(handles=[*fills, *points], loc="upper right", ncols=2)


def _shapes(
    sample: Sequence[Any], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Densities of background and signal, and their errors."""
    positive, score, weight = sample
    filled = []
    for kind, name in ((False, "background"), (True, "signal")):
        chosen = positive == kind
        part = histogram(score[chosen], edges, None if weight is None else weight[chosen])
        filled.append(part.density(name))
    return np.array([one.values for one in filled]), np.array([one.errors for one in filled])


def _tests(first: Sequence[Any], second: Sequence[Any]) -> tuple[KSResult, KSResult]:
    """Compare the scores of background, and those of signal."""
    results = []
    for kind in (False, True):
        (score1, weight1), (score2, weight2) = (
            (score[positive == kind], None if weight is None else weight[positive == kind])
            for positive, score, weight in (first, second)
        )
        results.append(ks_2samp_weighted(score1, score2, weight1=weight1, weight2=weight2))
    return results[0], results[1]
