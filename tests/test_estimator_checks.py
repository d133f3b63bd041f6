"""scikit-learn's checks of every public estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.helpers.centroid import Centroid, ProbabilisticCentroid
from xclassic.storage import registry

# Checks that fail by design, each with its reason.
EXPECTED_FAILURES = {
    "check_supervised_y_2d": "a two-dimensional y is a 0-1 label matrix here, not a column of class ids",
}

ESTIMATORS = [getattr(xclassic, name)() for name in registry.ESTIMATORS]


@parametrize_with_checks(
    [*ESTIMATORS, Centroid(), ProbabilisticCentroid()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
