"""Metrics of extreme classification, on a ranking (`TopK` or scores) or predicted label sets, and a sparse truth.

Functions named ``..._at_k`` take ``(Y_true, top, k)``. Objects with a number in their name, such as `precision_at_5`,
are scorers for scikit-learn and take ``(estimator, X, y)``.
"""

from xclassic.metrics._inputs import label_groups
from xclassic.metrics.calibration import brier_score, expected_calibration_error
from xclassic.metrics.prefix import prefix_credit
from xclassic.metrics.propensity import propensity, psndcg_at_k, psp_at_k
from xclassic.metrics.ranking import coverage_at_k, hit_at_k, ndcg_at_k, precision_at_k, r_precision, recall_at_k
from xclassic.metrics.report import evaluate, evaluate_sets, format_table
from xclassic.metrics.revealed import check_held_out
from xclassic.metrics.scorers import (
    TopKScorer,
    ndcg_at_1,
    ndcg_at_3,
    ndcg_at_5,
    precision_at_1,
    precision_at_3,
    precision_at_5,
    recall_at_1,
    recall_at_3,
    recall_at_5,
)
from xclassic.metrics.sets import accuracy, f1, precision, recall, subset_accuracy

__all__ = [
    "TopKScorer",
    "accuracy",
    "brier_score",
    "check_held_out",
    "coverage_at_k",
    "evaluate",
    "evaluate_sets",
    "expected_calibration_error",
    "f1",
    "format_table",
    "hit_at_k",
    "label_groups",
    "ndcg_at_1",
    "ndcg_at_3",
    "ndcg_at_5",
    "ndcg_at_k",
    "precision",
    "precision_at_1",
    "precision_at_3",
    "precision_at_5",
    "precision_at_k",
    "prefix_credit",
    "propensity",
    "psndcg_at_k",
    "psp_at_k",
    "r_precision",
    "recall",
    "recall_at_1",
    "recall_at_3",
    "recall_at_5",
    "recall_at_k",
    "subset_accuracy",
]
