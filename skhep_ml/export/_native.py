"""BDTs in xgboost's own JSON, as other readers take it."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skhep_ml._files import write_file
from skhep_ml.export._trees import base_scores

# what the readers in RDataFrame and CMSSW know
_OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")


def to_xgboost_json(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a BDT in xgboost's JSON, labelled for readers that know the standard objectives.

    Parameters
    ----------
    model : BDTClassifier, BDTRegressor or UniformBDTClassifier
        A fitted model. Of a Pipeline, give the last step: the file holds no preprocessing.
    path : path
        Where to write, with the suffix ``.json``, by which xgboost knows the format. The file
        appears whole or not at all.

    Raises
    ------
    TypeError
        Something other than one of these models.
    ValueError
        A suffix other than ``.json``, or a booster that is no sum of ordinary trees.

    See Also
    --------
    to_onnx : A graph with preprocessing and labels.

    Notes
    -----
    Models trained by an objective of this package (signed weights, flat efficiency) are labelled
    ``binary:logistic``, ``multi:softprob`` or ``reg:squarederror`` too: these say how the margin
    becomes a probability, and that is the same. The base score, the prediction without any tree,
    is written as a number, as releases of xgboost before 3.1 expect it. Readers that sum the trees
    themselves, such as FastForest, add its logit to the sum. For more than two classes, each of
    which has one, it is 0, and the leaves of each class's first tree hold the difference.

    The features are named as in fit, or not at all; those of a `UniformBDTClassifier` are its
    ``train_columns_``. Labels are not in the file: class 1 is the second of ``classes_``. Not every
    reader sends missing values where xgboost does: impute first, or check.

    Examples
    --------
    >>> import os, tempfile
    >>> import xgboost
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.ensemble import BDTClassifier
    >>> from skhep_ml.export import to_xgboost_json
    >>> events = make_signed_events(500, random_state=0)
    >>> model = BDTClassifier(n_estimators=5, n_jobs=1).fit(events.data, events.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "bdt.json")
    ...     to_xgboost_json(model, path)
    ...     booster = xgboost.Booster(model_file=path)
    >>> booster.num_boosted_rounds()
    5
    """
    from skhep_ml.ensemble._bdt_base import BaseBDT

    if not isinstance(model, BaseBDT):
        hint = ""
        if hasattr(model, "steps"):
            hint = (
                "; the file holds no preprocessing: give its last step, model[-1], or use to_onnx"
            )
        msg = f"{type(model).__name__} is no BDTClassifier or BDTRegressor{hint}"
        raise TypeError(msg)
    check_is_fitted(model)
    if not os.fspath(path).endswith(".json"):
        msg = f"path={os.fspath(path)!r} must end in .json, by which xgboost knows the format"
        raise ValueError(msg)
    content = json.loads(model.booster_.save_raw("json"))
    learner = content["learner"]
    objective = learner["objective"]["name"]
    engine = learner["gradient_booster"]["name"]
    if objective not in _OBJECTIVES or engine != "gbtree":
        msg = (
            f"a booster of kind {engine!r} with the objective {objective!r}: other readers take "
            f"'gbtree' with one of {_OBJECTIVES}"
        )
        raise ValueError(msg)
    parameters = learner["learner_model_param"]
    scores = base_scores(parameters["base_score"])
    if len(scores) == 1:
        parameters["base_score"] = repr(scores[0])
    else:
        _into_first_trees(learner["gradient_booster"]["model"], scores)
        parameters["base_score"] = "0E0"
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        learner["feature_names"] = [str(name) for name in names[model._tree_columns()]]
        learner["feature_types"] = ["float"] * len(learner["feature_names"])
    write_file(path, json.dumps(content))


def _into_first_trees(model: dict[str, Any], scores: list[float]) -> None:
    """Add the base score of each class to the leaves of its first tree."""
    for label, score in enumerate(scores):
        tree = model["trees"][model["tree_info"].index(label)]
        for node, child in enumerate(tree["left_children"]):
            if child < 0:
                leaf = np.float32(tree["split_conditions"][node]) + np.float32(score)
                tree["split_conditions"][node] = tree["base_weights"][node] = float(leaf)
