"""scikit-learn's checks of every public estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.helpers.centroid import Centroid, ProbabilisticCentroid
from tests.helpers.contract import ESTIMATORS, EXPECTED_FAILURES, NEEDS_KNOWN_ROWS, quick


@parametrize_with_checks(
    [*map(quick, ESTIMATORS), Centroid(), ProbabilisticCentroid()],
    expected_failed_checks=lambda estimator: (
        EXPECTED_FAILURES | (NEEDS_KNOWN_ROWS if hasattr(estimator, "_learn_rows") else {})
    ),
)
def test_estimator_passes_scikit_learn_check(estimator, check):
    check(estimator)
