"""Scores of one target by scikit-learn, which shares no code with ours; None where a score is undefined."""

import numpy as np
from sklearn import metrics


def _known(truth, answers):
    truth, answers = np.asarray(truth, float), np.asarray(answers, float)
    known = ~np.isnan(truth)
    return truth[known].astype(int), answers[known]


def _share(hits, of):
    return None if not of.any() else float(hits[of].mean())


def sensitivity(truth, said):
    truth, said = _known(truth, said)
    return _share(said == 1, truth == 1)


def specificity(truth, said):
    truth, said = _known(truth, said)
    return _share(said == 0, truth == 0)


def ppv(truth, said):
    truth, said = _known(truth, said)
    return _share(truth == 1, said == 1)


def npv(truth, said):
    truth, said = _known(truth, said)
    return _share(truth == 0, said == 0)


def f1(truth, said):
    truth, said = _known(truth, said)
    return float(metrics.f1_score(truth, said)) if truth.any() or said.any() else None


def accuracy(truth, said):
    truth, said = _known(truth, said)
    return float(metrics.accuracy_score(truth, said)) if len(truth) else None


def balanced_accuracy(truth, said):
    truth, said = _known(truth, said)
    return float(metrics.balanced_accuracy_score(truth, said)) if len(set(truth)) == 2 else None


def mcc(truth, said):
    truth, said = _known(truth, said)
    return float(metrics.matthews_corrcoef(truth, said)) if len(set(truth)) == len(set(said)) == 2 else None


def auroc(truth, p):
    truth, p = _known(truth, p)
    return float(metrics.roc_auc_score(truth, p)) if len(set(truth)) == 2 else None


def auprc(truth, p):
    truth, p = _known(truth, p)
    return float(metrics.average_precision_score(truth, p)) if len(set(truth)) == 2 else None


def brier(truth, p):
    truth, p = _known(truth, p)
    return float(np.mean((p - truth) ** 2)) if len(truth) else None


def ece(truth, p):
    """Guo et al. 2017, equation 3, with 15 bins, bin by bin."""
    truth, p = _known(truth, p)
    if not len(truth):
        return None
    gap = 0.0
    for number in range(1, 16):
        lower, upper = (number - 1) / 15, number / 15
        here = (p > lower) & (p <= upper) if number > 1 else p <= upper
        if here.any():
            gap += here.mean() * abs(p[here].mean() - truth[here].mean())
    return float(gap)


PROBABILITY_SCORES = {"auroc": auroc, "auprc": auprc, "brier": brier, "ece": ece}
DECISION_SCORES = {
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
    "f1": f1,
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "mcc": mcc,
}
