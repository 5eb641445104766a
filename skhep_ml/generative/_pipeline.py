"""Samples of a Pipeline whose last step is a generative model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skhep_ml._extras import import_extra
from skhep_ml._frames import is_frame, take_rows


def sample_pipeline(
    pipeline: Any, n: int | None = None, *, context: Any = None, random_state: Any = None
) -> Any:
    """Draw events from the last step of a Pipeline, in the units of its input.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; its last step is a generative model, and the others have ``inverse_transform``. A
        generative model alone is sampled as it is.
    n : int, default=None
        How many; None takes the rows of ``context``, or one event.
    context : float, array-like or DataFrame, default=None
        Values of the model's ``context_features`` in the units of the Pipeline's input, which its
        steps transform: one row for all events, or one for each; or events with all columns of the
        input, of which only the context counts.
    random_state : int, RandomState instance or None, default=None
        Seed; None draws other events in every call.

    Returns
    -------
    ndarray, DataFrame or Events
        Events as `Pipeline.inverse_transform` gives them, a DataFrame where the Pipeline was fitted
        on one.

    Raises
    ------
    ValueError
        A last step that does not sample, a step without inverse, or context of another width.
        Values of the context alone, where steps change the number of columns.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skhep_ml.generative import FlowMatching, sample_pipeline
    >>> X = np.random.default_rng(0).normal(1000, 100, (200, 2))
    >>> model = make_pipeline(
    ...     StandardScaler(), FlowMatching(max_epochs=1, device="cpu", random_state=0))
    >>> events = sample_pipeline(model.fit(X), 50, random_state=0)
    >>> events.shape, bool(events.mean() > 500)
    ((50, 2), True)
    """
    check_is_fitted(pipeline)
    steps = pipeline.steps if isinstance(pipeline, Pipeline) else [("model", pipeline)]
    name, model = steps[-1]
    if not hasattr(model, "sample"):
        msg = f"the last step {name!r}, {type(model).__name__}, has no method sample"
        raise ValueError(msg)
    before = [(name, step) for name, step in steps[:-1] if step not in (None, "passthrough")]
    for name, step in before:
        if not hasattr(step, "inverse_transform"):
            msg = (
                f"step {name!r}, {type(step).__name__}, has no inverse_transform, which brings "
                "samples back to the units of the input: leave it out, or sample the last step"
            )
            raise ValueError(msg)
    if context is not None and before:
        context = _through(before, model, context, n)
    given = {} if context is None else {"context": context}  # densities of scikit-learn take none
    events = model.sample(n, random_state=random_state, **given)
    for _, step in reversed(before):
        events = step.inverse_transform(events)
    names = getattr(before[0][1], "feature_names_in_", None) if before else None
    if names is not None and isinstance(events, np.ndarray):
        events = _frame(model, events, names)
    return events


def _frame(model: Any, table: NDArray[Any], names: Any) -> Any:
    """Table as a DataFrame: of the kind that the model knows, otherwise of pandas."""
    layout = getattr(model, "_layout", None)
    template = None if layout is None else layout.template
    if template is None:
        return import_extra("pandas", "root").DataFrame(table, columns=names)
    return type(template)(dict(zip(names, table.T, strict=True)))


def _through(steps: list[tuple[str, Any]], model: Any, context: Any, n: int | None) -> Any:
    """Context after the steps, with all columns that they return and a row for each event."""
    first = steps[0][1]
    names = getattr(first, "feature_names_in_", None)
    if is_frame(context) and names is not None:
        places = getattr(model, "context_indices_", ())
        if set(names) <= set(context.columns):
            context = context[list(names)]
        elif first.n_features_in_ == model.n_features_in_:
            asked = [names[place] for place in places]
            missing = [name for name in asked if name not in context.columns]
            if missing:
                msg = f"context lacks the columns {missing}, but has {list(context.columns)}"
                raise ValueError(msg)
            context = np.column_stack([np.asarray(context[name], np.float64) for name in asked])
    if not is_frame(context):
        context = np.asarray(context, dtype=np.float64)
        n_context = len(getattr(model, "context_indices_", ()))
        if context.ndim < 2 and not (context.ndim == 1 and n_context == 1 and len(context) > 1):
            context = context.reshape(1, -1)
        elif context.ndim == 1:
            context = context[:, None]
        if context.shape[1] != first.n_features_in_:
            context = _with_all_columns(steps, model, context)
        if names is not None:
            context = _frame(model, context, names)
    if n is not None and len(context) == 1:
        context = take_rows(context, np.zeros(n, dtype=np.intp))
    for _, step in steps:
        context = step.transform(context)
    return context


def _with_all_columns(steps: list[tuple[str, Any]], model: Any, context: Any) -> Any:
    """Rows of the Pipeline's input that hold the context beside typical values."""
    places = model.context_indices_
    widths = {step.n_features_in_ for _, step in steps} | {model.n_features_in_}
    if len(widths) > 1 or context.shape[1] != len(places):
        msg = (
            f"context has {context.shape[1]} columns: give {len(places)} where no step changes the "
            f"number of columns, otherwise events with all {steps[0][1].n_features_in_} columns of "
            "the Pipeline's input"
        )
        raise ValueError(msg)
    row = model.sample(1, context=model._first_context, random_state=0)
    for _, step in reversed(steps):
        row = step.inverse_transform(row)
    rows = np.repeat(np.asarray(row, dtype=np.float64), len(context), axis=0)
    rows[:, places] = context
    return rows
