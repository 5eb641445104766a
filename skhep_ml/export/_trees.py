"""Trees as arrays, from xgboost's and scikit-learn's, and as one node of a graph."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml.export._graph import ML_DOMAIN, Graph, Tensor


class Tree(NamedTuple):
    """One tree; leaves have -1 for children.

    Attributes
    ----------
    feature, left, right : ndarray of int, shape (n_nodes,)
        Column that decides, and the nodes that follow.
    threshold : ndarray of float32, shape (n_nodes,)
        Where the split is.
    missing_left : ndarray of bool, shape (n_nodes,)
        Whether NaN goes to the left.
    value : ndarray of float32, shape (n_nodes, n_values)
        Values of the leaves.
    first_target : int
        Output that the first value adds to.
    """

    feature: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float32]
    first_target: int


class Boosted(NamedTuple):
    """What a booster computes: the sum of its trees and a constant.

    Attributes
    ----------
    trees : list of Tree
        In them the left branch is taken where x < threshold.
    base : ndarray of float32, shape (n_outputs,)
        Margin that the trees add to.
    objective : str
        xgboost's name of the objective, which decides what becomes of the margins.
    """

    trees: list[Tree]
    base: NDArray[np.float32]
    objective: str


_LOGISTIC = ("binary:logistic", "reg:logistic")
_EXPONENTIAL = ("count:poisson", "reg:gamma", "reg:tweedie")
_IDENTITY = (
    "binary:logitraw",
    "multi:softmax",
    "multi:softprob",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:squarederror",
    "reg:squaredlogerror",
)


def boosted_trees(booster: Any) -> Boosted:
    """Read a booster of xgboost.

    Raises
    ------
    NotImplementedError
        A linear booster, categorical splits, vector leaves, or an objective without export.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective = learner["objective"]["name"]
    if objective not in (*_LOGISTIC, *_EXPONENTIAL, *_IDENTITY):
        msg = f"xgboost's objective {objective!r} has no export"
        raise NotImplementedError(msg)
    parameters = learner["learner_model_param"]
    n_outputs = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    engine = learner["gradient_booster"]
    dropped = engine.get("weight_drop")
    engine = engine.get("gbtree", engine)
    if "trees" not in engine["model"]:
        msg = f"xgboost's booster {engine['name']!r} has no trees to export"
        raise NotImplementedError(msg)
    raw = engine["model"]["trees"]
    factors = dropped or [1.0] * len(raw)
    trees = [
        _xgboost_tree(tree, target, np.float32(factor))
        for tree, target, factor in zip(raw, engine["model"]["tree_info"], factors, strict=True)
    ]
    score = np.array(base_scores(parameters["base_score"]), dtype=np.float32)
    score = np.broadcast_to(score, n_outputs)
    if objective in _LOGISTIC:
        # as xgboost rounds it
        score = -np.log(np.float32(1) / score - np.float32(1))
    elif objective in _EXPONENTIAL:
        score = np.log(score)
    return Boosted(trees, score.astype(np.float32), objective)


def base_scores(text: str) -> list[float]:
    """Numbers in xgboost's base score, "5E-1" or "[5E-1,2E-1]"."""
    return [float(part) for part in text.strip("[]").split(",")]


def _xgboost_tree(tree: dict[str, Any], target: int, factor: np.float32) -> Tree:
    if any(tree["split_type"]) or int(tree["tree_param"].get("size_leaf_vector") or 1) > 1:
        msg = "categorical splits and leaves with vectors have no export"
        raise NotImplementedError(msg)
    condition = np.array(tree["split_conditions"], dtype=np.float32)
    return Tree(
        np.array(tree["split_indices"]),
        np.array(tree["left_children"]),
        np.array(tree["right_children"]),
        condition,
        np.array(tree["default_left"], dtype=bool),
        condition[:, None] * factor,
        target,
    )


def margins(graph: Graph, boosted: Boosted, x: Tensor) -> Tensor:
    """Sum of the trees of a booster, before its link."""
    if not graph.sums_in_order:
        return tree_sum(graph, boosted.trees, x, "BRANCH_LT", boosted.base)
    # each tree has an output of its own, and a running sum rounds as xgboost does
    trees = [tree._replace(first_target=k) for k, tree in enumerate(boosted.trees)]
    none = np.zeros(len(trees), dtype=np.float32)
    single = tree_sum(graph, trees, x, "BRANCH_LT", none)
    n_events = graph.op("Slice", graph.op("Shape", single.name), np.array([0]), np.array([1]))
    shape = graph.op("Concat", n_events, np.array([1]), axis=0)
    columns = []
    for target, start in enumerate(boosted.base):
        places = [k for k, tree in enumerate(boosted.trees) if tree.first_target == target]
        first = graph.op("Expand", start[None, None], shape)
        parts = graph.op("Concat", first, graph.columns(single, places).name, axis=1)
        sums = Tensor(graph.op("CumSum", parts, np.int64(1)), np.float32, (len(places) + 1,))
        columns.append(graph.columns(sums, [len(places)]))
    return graph.join(columns)


def inverse_link(graph: Graph, objective: str, margin: str) -> str:
    """What xgboost predicts, from the margins."""
    if objective in _LOGISTIC:
        return graph.op("Sigmoid", margin)
    if objective in _EXPONENTIAL:
        return graph.op("Exp", margin)
    if objective.startswith("multi:"):
        return graph.op("Softmax", margin, axis=1)
    return margin


def forest_mean(graph: Graph, estimators: Iterable[Any], x: Tensor) -> Tensor:
    """Mean of the leaf values of scikit-learn's trees, shape (n_events, n_values)."""
    estimators = list(estimators)
    trees = [_sklearn_tree(estimator.tree_, len(estimators)) for estimator in estimators]
    n_values = trees[0].value.shape[1]
    return tree_sum(graph, trees, x, "BRANCH_LEQ", np.zeros(n_values, dtype=np.float32))


def histogram_margins(graph: Graph, model: Any, x: Tensor) -> Tensor:
    """Sum of the trees of scikit-learn's HistGradientBoosting, before its link.

    Raises
    ------
    NotImplementedError
        Categorical features.
    """
    if model.is_categorical_ is not None:
        msg = "categorical features have no export: encode them in a step before"
        raise NotImplementedError(msg)
    trees = [
        _histogram_tree(predictor.nodes, target)
        for predictors in model._predictors
        for target, predictor in enumerate(predictors)
    ]
    base = np.ravel(model._baseline_prediction).astype(np.float32)
    return tree_sum(graph, trees, x, "BRANCH_LEQ", base)


def _histogram_tree(nodes: NDArray[Any], target: int) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    value = nodes["value"].astype(np.float32)
    return Tree(
        np.where(leaf, 0, nodes["feature_idx"]),
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        np.where(leaf, np.float32(0), _float32_at_or_below(nodes["num_threshold"])),
        nodes["missing_go_to_left"].astype(bool),
        value[:, None],
        target,
    )


def _float32_at_or_below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Thresholds for float32: x <= t with t in float64 is x <= the float32 at or below t."""
    with np.errstate(over="ignore"):
        rounded = threshold.astype(np.float32)
    above = rounded > threshold
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


def _sklearn_tree(tree: Any, n_trees: int) -> Tree:
    leaf = tree.children_left < 0
    return Tree(
        np.where(leaf, 0, tree.feature),
        tree.children_left,
        tree.children_right,
        np.where(leaf, np.float32(0), _float32_at_or_below(tree.threshold)),
        tree.missing_go_to_left.astype(bool),
        (tree.value.reshape(len(leaf), -1) / n_trees).astype(np.float32),
        0,
    )


def tree_sum(
    graph: Graph, trees: list[Tree], x: Tensor, mode: str, base: NDArray[np.float32]
) -> Tensor:
    """One node that sums over the trees; ``mode`` says when the left branch is taken.

    ONNX can say of each split where missing values go, but onnxruntime then takes a third more
    time. As comparisons with NaN are false, NaN goes to the right by itself; where it should go to
    the left, the split is turned round: on the negative feature, with its branches exchanged.
    """
    x = graph.as_kind(x, np.float32)
    counts = [len(tree.feature) for tree in trees]
    tree_of_node = np.repeat(np.arange(len(trees)), counts)
    node = np.concatenate([np.arange(count) for count in counts])
    feature, left, right, threshold, missing, value = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("feature", "left", "right", "threshold", "missing_left", "value")
    )
    inner = left >= 0
    turned = inner & missing
    if turned.any():
        # x >= t is -x <= -t, and x > t is -x < -t; the mode stays, so the limit moves by a digit
        toward = np.float32(np.inf if mode == "BRANCH_LT" else -np.inf)
        threshold = np.where(turned, np.nextafter(-threshold, toward), threshold)
        left, right = np.where(turned, right, left), np.where(turned, left, right)
        assert x.tail[0] is not None
        feature = np.where(turned, feature + x.tail[0], feature)
        x = graph.join([x, x._replace(name=graph.op("Neg", x.name))])
    leaves = np.flatnonzero(~inner)
    n_values = value.shape[1]
    first = np.repeat([tree.first_target for tree in trees], counts)
    name = graph.op(
        "TreeEnsembleRegressor",
        x.name,
        domain=ML_DOMAIN,
        aggregate_function="SUM",
        post_transform="NONE",
        n_targets=len(base),
        base_values=base.tolist(),
        nodes_treeids=tree_of_node.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=np.where(inner, feature, 0).tolist(),
        nodes_modes=np.where(inner, mode, "LEAF").tolist(),
        nodes_values=np.where(inner, threshold, np.float32(0)).tolist(),
        nodes_truenodeids=np.where(inner, left, 0).tolist(),
        nodes_falsenodeids=np.where(inner, right, 0).tolist(),
        target_treeids=np.repeat(tree_of_node[leaves], n_values).tolist(),
        target_nodeids=np.repeat(node[leaves], n_values).tolist(),
        target_ids=(first[leaves][:, None] + np.arange(n_values)).ravel().tolist(),
        target_weights=value[leaves].ravel().tolist(),
    )
    return Tensor(name, np.float32, (len(base),))
