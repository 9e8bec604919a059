"""The heads of a probe: one for each penalty or number of neighbours, on the embeddings of a frozen encoder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from auscult.config.model import HeadSettings
from auscult.config.probe import ProbeSettings
from auscult.config.task import TaskSettings
from auscult.errors import DataError
from auscult.models.classifier import Classifier, Head
from auscult.models.neighbours import NeighbourHead

logger = logging.getLogger(__name__)

_MAX_ITERATIONS = 10_000
_TOLERANCE = 1e-7
_MAX_NEWTON_WEIGHTS = 1100


@dataclass(frozen=True)
class Embedded:
    """Clips of one subset.

    Attributes:
        embeddings: Pooled features, float32 [clip, feature].
        targets: Float32 [clip, target]: 1, 0 or NaN for unknown.
        ids: Columns `clip_id`, `recording_id` and `patient_id`.
    """

    embeddings: NDArray[np.float32]
    targets: NDArray[np.float32]
    ids: pd.DataFrame

    def take(self, rows: NDArray[np.int64]) -> Embedded:
        """Return some of the clips, duplicates allowed."""
        return Embedded(self.embeddings[rows], self.targets[rows], self.ids.iloc[rows])


class Candidate(NamedTuple):
    """One of the probes that validation chooses from.

    Attributes:
        value: Its penalty, or its number of neighbours.
        head: Turns pooled features into logits.
    """

    value: float
    head: Head | NeighbourHead


def candidates(
    drawn: Embedded, encoder: Classifier, probe: ProbeSettings, task: TaskSettings, weights: NDArray[np.float32]
) -> Iterator[Candidate]:
    """Yield the probe of each penalty, the strongest first, or of each number of neighbours, the largest first.

    Args:
        drawn: The clips to fit on.
        encoder: Whose features they are.
        probe: Which layer, and what is tried.
        task: What is predicted.
        weights: Of the classes, as `losses.class_weights` returns them; a vote of neighbours has none.

    Raises:
        DataError: The encoder has no dense layer that could be probed.
    """
    dense = _dense_layer(encoder, probe)
    with torch.inference_mode():
        values = torch.from_numpy(drawn.embeddings)
        probed = (values if dense is None else dense(values)).numpy().astype(np.float64)
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 (slow to import; only probes need it)

    scaler: Any = StandardScaler().fit(probed)
    standardised = np.asarray(scaler.transform(probed))
    mean, scale = np.asarray(scaler.mean_), np.asarray(scaler.scale_)
    if probe.method == "linear":
        for penalty in sorted(probe.penalties, reverse=True):
            weight, bias = fit_linear(standardised, drawn.targets, task, weights, penalty)
            yield Candidate(penalty, folded_head(weight / scale, bias - weight @ (mean / scale), dense))
        return
    for k in sorted(probe.neighbours, reverse=True):
        head = NeighbourHead(
            encoder.n_features,
            len(task.targets),
            k=k,
            n_clips=len(standardised),
            is_exclusive=task.type == "multi_class",
            dense_size=None if dense is None else dense.out_features,
        )
        if dense is not None:
            head.dense.load_state_dict(dense.state_dict())
        for buffer, values in (
            (head.mean, mean),
            (head.scale, scale),
            (head.clips, standardised),
            (head.targets, drawn.targets),
        ):
            buffer.copy_(torch.from_numpy(values))
        yield Candidate(k, head.eval())


def _dense_layer(encoder: Classifier, probe: ProbeSettings) -> nn.Linear | None:
    """Return the layer of the encoder's head whose outputs are probed; None: the pooled features are."""
    if probe.layer == "backbone":
        return None
    head = encoder.head
    if isinstance(head, Head):
        dense = head.linear if isinstance(head.hidden, nn.Identity) else head.hidden
    else:
        dense = head.dense
    if not isinstance(dense, nn.Linear):
        raise DataError(f"probe.layer: head: the encoder in {probe.encoder} has no dense layer there; use backbone")
    return dense


def fit_linear(
    features: NDArray[np.float64],
    targets: NDArray[np.float32],
    task: TaskSettings,
    weights: NDArray[np.float32],
    penalty: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit scikit-learn's logistic regression: of each target on the clips that know it, or of all classes together.

    Args:
        features: Standardised, shape [clip, feature].
        targets: Shape [clip, target]: 1, 0 or NaN for unknown, which takes no part.
        task: Its type says what the classes are.
        weights: As `losses.class_weights` returns them.
        penalty: Of half the squared weights, against the sum of the clips' losses.

    Returns:
        Weights, shape [target, feature], and biases, shape [target].
    """
    known = ~np.isnan(targets)
    if task.type == "multi_class":
        rows = known.all(axis=1)
        classes = targets[rows].argmax(axis=1)
        weight, bias = _regress(features[rows], classes, weights[classes], penalty)
        # Of two classes scikit-learn fits the difference of their logits.
        return (weight, bias) if len(bias) > 1 else (np.vstack([-weight, weight]) / 2, np.hstack([-bias, bias]) / 2)
    fitted: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for column in range(targets.shape[1]):
        rows = known[:, column]
        classes = targets[rows, column].astype(np.int64)
        fitted.append(_regress(features[rows], classes, weights[classes, column], penalty))
    return np.vstack([weight for weight, _ in fitted]), np.hstack([bias for _, bias in fitted])


def _regress(
    features: NDArray[np.float64], classes: NDArray[np.int64], weights: NDArray[np.float32], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 (slow to import; only probes need it)
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    n_classes = len(np.unique(classes))
    n_weights = (features.shape[1] + 1) * (n_classes if n_classes > 2 else 1)
    # Newton's method is the quicker and the more exact one, as long as its matrix of second derivatives is small.
    solver = "newton-cholesky" if n_weights <= _MAX_NEWTON_WEIGHTS else "lbfgs"
    model: Any = LogisticRegression(C=1 / penalty, solver=solver, max_iter=_MAX_ITERATIONS, tol=_TOLERANCE)
    # One thread: for matrices of this size more of them gain little, cost a busy machine much, and round otherwise.
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features, classes, sample_weight=weights.astype(np.float64))
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            logger.warning("penalty %g: no convergence in %d iterations", penalty, _MAX_ITERATIONS)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return model.coef_, model.intercept_


def folded_head(weight: NDArray[np.float64], bias: NDArray[np.float64], dense: nn.Linear | None) -> Head:
    """Return a linear head on pooled features that computes `weight @ dense(features) + bias`.

    Args:
        weight: Shape [target, feature].
        bias: Shape [target].
        dense: The encoder's layer between pooled features and `weight`; None: there is none.
    """
    if dense is not None:
        inner = dense.weight.detach().double().numpy()
        bias = bias + weight @ dense.bias.detach().double().numpy()
        weight = weight @ inner
    head = Head(weight.shape[1], len(bias), HeadSettings(), dropout=0.0).eval()
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(weight))
        head.linear.bias.copy_(torch.from_numpy(bias))
    return head
