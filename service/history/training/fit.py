"""Fits models with scikit-learn and writes them as ONNX. The only module that needs the extra `train`.

Every model takes `features`, [N,F] of float32, and gives `score`, [N,1] of float32: higher is worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
import skl2onnx
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest

OPSET: Final = {"": 18, "ai.onnx.ml": 3}
"""The versions of the operators: what onnxruntime has had since 1.14."""
IR_VERSION: Final = 8
INPUT: Final = "features"
OUTPUT: Final = "score"


class Fitted:
    """A model, and the scores that scikit-learn itself gives to the rows it was fitted to."""

    def __init__(self, kind: str, model: onnx.ModelProto, scores: Sequence[float]) -> None:
        """``kind`` is for people."""
        model.ir_version = IR_VERSION
        model.producer_name = "txwatch"
        onnx.checker.check_model(model)
        self.kind: Final = kind
        self.onnx: Final = model.SerializeToString(deterministic=True)
        self.scores: Final = scores


def isolation_forest(values: Sequence[float], width: int, seed: int) -> Fitted:
    """Fit to rows without labels. The score is that of the paper (Liu, Ting, Zhou 2008), between 0 and 1.

    Args:
        values: float32, row after row.
        width: features in a row.
        seed: the same seed gives the same model.
    """
    rows = _rows(values, width)
    forest = IsolationForest(random_state=seed).fit(rows)
    return Fitted("an isolation forest", _forest(forest, width), (-forest.score_samples(rows)).tolist())


def classifier(values: Sequence[float], width: int, seed: int, bad: Sequence[bool]) -> Fitted:
    """Fit to rows of which some are bad. The score is the probability that a row is bad.

    Args:
        values: float32, row after row.
        width: features in a row.
        seed: the same seed gives the same model.
        bad: one for each row; there must be both.
    """
    rows = _rows(values, width)
    boosted = GradientBoostingClassifier(random_state=seed).fit(rows, np.asarray(bad))
    model = skl2onnx.convert_sklearn(
        boosted,
        "classifier",  # else a random name
        initial_types=[(INPUT, FloatTensorType([None, width]))],
        options={"zipmap": False},
        target_opset=OPSET,
    )
    graph = model.graph
    label, probabilities = (one.name for one in graph.output)
    del graph.output[:]
    graph.initializer.append(helper.make_tensor("bad", TensorProto.INT64, [1], [1]))
    graph.node.append(helper.make_node("Gather", [probabilities, "bad"], [OUTPUT], axis=1))
    graph.output.append(_tensor(OUTPUT, 1))
    for node in [one for one in graph.node if list(one.output) == [label]]:
        graph.node.remove(node)  # nothing asks for the label any more
    return Fitted("a gradient-boosted classifier", model, boosted.predict_proba(rows)[:, 1].tolist())


def _rows(values: Sequence[float], width: int) -> Any:  # noqa: ANN401 - numpy's array
    return np.asarray(values, dtype=np.float32).reshape(-1, width)


def _tensor(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])


def _forest(forest: IsolationForest, width: int) -> onnx.ModelProto:
    """Write a forest as one ensemble of trees: a leaf adds its share of the exponent, and the score is 2 to that.

    skl2onnx writes 27 nodes for each tree: 77 us a row instead of 6, and 13 s for writing
    (docs/decisions/operations.md, "The isolation forest is written as one node").
    """
    whole = len(forest.estimators_) * _path_length(np.array([forest.max_samples_]))[0]
    parts = [_tree(number, one.tree_, whole) for number, one in enumerate(forest.estimators_)]
    attributes: dict[str, Any] = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor", [INPUT], ["exponent"], domain="ai.onnx.ml", n_targets=1, **attributes
        ),
        helper.make_node("Pow", ["two", "exponent"], [OUTPUT]),
    ]
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    graph = helper.make_graph(nodes, "isolation_forest", [_tensor(INPUT, width)], [_tensor(OUTPUT, 1)], [two])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*one) for one in OPSET.items()])


def _tree(number: int, tree: Any, whole: float) -> dict[str, list[Any]]:  # noqa: ANN401 - scikit-learn has no types
    """The attributes of one tree. A leaf's path is its depth and the expected depth below it."""
    left, right = tree.children_left, tree.children_right
    leaf = left < 0
    depth = np.zeros(tree.node_count)
    for at in np.flatnonzero(~leaf):  # a parent comes before its children
        depth[left[at]] = depth[right[at]] = depth[at] + 1
    leaves = np.flatnonzero(leaf)
    return {
        "nodes_treeids": [number] * tree.node_count,
        "nodes_nodeids": list(range(tree.node_count)),
        "nodes_featureids": np.where(leaf, 0, tree.feature).tolist(),
        "nodes_values": np.where(leaf, 0, _float32_below(tree.threshold)).tolist(),
        "nodes_modes": ["LEAF" if one else "BRANCH_LEQ" for one in leaf],
        "nodes_truenodeids": np.where(leaf, 0, left).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, right).tolist(),
        "target_treeids": [number] * len(leaves),
        "target_nodeids": leaves.tolist(),
        "target_ids": [0] * len(leaves),
        "target_weights": (-(depth[leaves] + _path_length(tree.n_node_samples[leaves])) / whole).tolist(),
    }


def _float32_below(thresholds: Any) -> Any:  # noqa: ANN401 - numpy's array
    """The greatest float32 that is not above each: a float32 is at most the one exactly if it is at most the other."""
    found = thresholds.astype(np.float32)
    return np.where(found > thresholds, np.nextafter(found, np.float32(-np.inf)), found)


def _path_length(samples: Any) -> Any:  # noqa: ANN401 - numpy's array
    """The mean depth of a leaf in a random tree over so many samples; the paper's c(n)."""
    counts = np.asarray(samples, dtype=np.float64)
    many = np.maximum(counts, 3.0)
    long = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, long))  # noqa: PLR2004 - two samples, one split
