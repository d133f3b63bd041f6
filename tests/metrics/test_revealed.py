"""The guard against labels that a prediction was told."""

import numpy as np
import pytest

from xclassic import TopK
from xclassic.datasets import load_bibtex, reveal_labels
from xclassic.metrics import check_held_out

TOLD = np.array([[1, 0, 0], [0, 0, 1]])
REST = np.array([[0, 1, 1], [1, 1, 0]])


def test_labels_that_were_revealed_are_no_truth():
    check_held_out(REST, TOLD)
    check_held_out(*reversed(reveal_labels(load_bibtex().Y_test, 0.4, random_state=1)))
    with pytest.raises(ValueError, match=r"Y_true has 2 labels that were revealed, the first in row 0, label 0"):
        check_held_out(TOLD, TOLD)
    with pytest.raises(ValueError, match=r"1 labels that were revealed, the first in row 1, label 2"):
        check_held_out(REST + np.array([[0, 0, 0], [0, 0, 1]]), TOLD)
    with pytest.raises(ValueError, match="shape"):
        check_held_out(REST, TOLD[:, :2])


def test_labels_that_were_revealed_are_no_predictions():
    top = TopK.from_dense([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], 3)
    with pytest.raises(ValueError, match=r"The ranking has 2 labels that were revealed, the first in row 0, label 0"):
        check_held_out(REST, TOLD, top)
    check_held_out(REST, TOLD, top.without(TOLD))
    check_held_out(REST, TOLD, TopK.empty(2, 3))
