"""Metrics as one would write them down, one row and one label at a time. Imports nothing from the package.

`truth[i]` is the set of true labels of row i and `ranked[i]` the list of its predictions, best first. With `labels`,
only those count as true.
"""

import math


def only(truth, labels):
    return truth if labels is None else [row & set(labels) for row in truth]


def mean_over_rows(values, truth, labels):
    """All rows, or those with a true label among `labels`."""
    kept = [value for value, row in zip(values, truth, strict=True) if labels is None or row]
    return sum(kept) / len(kept) if kept else 0.0


def rank(scores, k):
    """Order the label ids of one row of scores by descending score, then by id; None is a label without a score."""
    scored = [label for label, score in enumerate(scores) if score is not None]
    return sorted(scored, key=lambda label: (-scores[label], label))[:k]


def precision_at_k(truth, ranked, k, labels=None):
    truth = only(truth, labels)
    return sum(len(row & set(predictions[:k])) / k for row, predictions in zip(truth, ranked, strict=True)) / len(truth)


def recall_at_k(truth, ranked, k, labels=None):
    truth = only(truth, labels)
    values = [
        len(row & set(predictions[:k])) / len(row) if row else 0 for row, predictions in zip(truth, ranked, strict=True)
    ]
    return mean_over_rows(values, truth, labels)


def ndcg_at_k(truth, ranked, k, labels=None):
    truth = only(truth, labels)
    values = []
    for row, predictions in zip(truth, ranked, strict=True):
        gain = sum(1 / math.log(1 + j) for j, label in enumerate(predictions[:k], start=1) if label in row)
        best = sum(1 / math.log(1 + j) for j in range(1, min(k, len(row)) + 1))
        values.append(gain / best if row else 0)
    return mean_over_rows(values, truth, labels)


def hit_at_k(truth, ranked, k, labels=None):
    truth = only(truth, labels)
    values = [any(label in row for label in predictions[:k]) for row, predictions in zip(truth, ranked, strict=True)]
    return mean_over_rows(values, truth, labels)


def coverage_at_k(truth, ranked, k, labels=None):
    truth = only(truth, labels)
    ever_true = set().union(*truth)
    found = {label for row, predictions in zip(truth, ranked, strict=True) for label in predictions[:k] if label in row}
    return len(found) / len(ever_true) if ever_true else 0.0


def r_precision(truth, ranked, labels=None):
    truth = only(truth, labels)
    values = [
        len(row & set(predictions[: len(row)])) / len(row) if row else 0
        for row, predictions in zip(truth, ranked, strict=True)
    ]
    return mean_over_rows(values, truth, labels)


def prefix_credit(truth, ranked, codes, k, labels=None):
    """`codes` has a list of digits per label, without padding."""
    total = 0.0
    for row, predictions in zip(only(truth, labels), ranked, strict=True):
        for prediction in predictions[:k]:
            total += max((_credit(label, prediction, codes) for label in row), default=0) / k
    return total / len(truth)


def _credit(label, prediction, codes):
    if label == prediction:
        return 1
    shared = 0
    for true_digit, digit in zip(codes[label], codes[prediction], strict=False):
        if true_digit != digit:
            break
        shared += 1
    return shared / len(codes[label]) if codes[label] else 0


def propensity(count, n_samples, A, B):
    C = (math.log(n_samples) - 1) * (B + 1) ** A
    return 1 / (1 + C * math.exp(-A * math.log(count + B)))


def psp_at_k(truth, ranked, k, propensities, labels=None):
    return _ratio_of_sums(only(truth, labels), ranked, propensities, [1] * k)


def psndcg_at_k(truth, ranked, k, propensities, labels=None):
    return _ratio_of_sums(only(truth, labels), ranked, propensities, [1 / math.log(1 + j) for j in range(1, k + 1)])


def _ratio_of_sums(truth, ranked, propensities, slot_gains):
    found = best = 0.0
    for row, predictions in zip(truth, ranked, strict=True):
        for label, gain in zip(predictions, slot_gains, strict=False):
            found += gain / propensities[label] if label in row else 0
        for weight, gain in zip(
            sorted((1 / propensities[label] for label in row), reverse=True), slot_gains, strict=False
        ):
            best += gain * weight
    return found / best if best else 0.0


def sets(truth, predicted, n_labels, average, labels=None):
    """Return precision, recall, F1 and accuracy of predicted label sets."""
    chosen = range(n_labels) if labels is None else sorted(set(labels))
    cells = [_confusion(truth, predicted, [label]) for label in chosen]
    if average == "micro":
        return _scores(*_confusion(truth, predicted, chosen))
    support = [tp + fn for tp, _, fn, _ in cells]
    shown = [tp + fp + fn > 0 for tp, fp, fn, _ in cells]
    weights = [support] * 4 if average == "weighted" else [shown, shown, shown, [1] * len(cells)]
    columns = zip(*(_scores(*cell) for cell in cells), strict=True) if cells else [[]] * 4
    return tuple(_weighted_mean(column, weight) for column, weight in zip(columns, weights, strict=True))


def _weighted_mean(values, weights):
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else 0.0


def _confusion(truth, predicted, labels):
    tp = fp = fn = tn = 0
    for true_row, predicted_row in zip(truth, predicted, strict=True):
        for label in labels:
            if label in true_row and label in predicted_row:
                tp += 1
            elif label in predicted_row:
                fp += 1
            elif label in true_row:
                fn += 1
            else:
                tn += 1
    return tp, fp, fn, tn


def _scores(tp, fp, fn, tn):
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    accuracy = (tp + tn) / (tp + fp + fn + tn) if tp + fp + fn + tn else 0.0
    return precision, recall, f1, accuracy
