"""scikit-learn's checks of every public estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import has_fit_parameter

from tests.helpers.centroid import Centroid, ProbabilisticCentroid
from tests.helpers.contract import ESTIMATORS, EXPECTED_FAILURES, NEEDS_KNOWN_ROWS, WEIGHED, quick


@parametrize_with_checks(
    [*map(quick, ESTIMATORS), Centroid(), ProbabilisticCentroid()],
    expected_failed_checks=lambda estimator: (
        EXPECTED_FAILURES
        | (NEEDS_KNOWN_ROWS if hasattr(estimator, "_learn_rows") else {})
        | (WEIGHED if has_fit_parameter(estimator, "sample_weight") else {})
    ),
)
def test_estimator_passes_scikit_learn_check(estimator, check):
    check(estimator)
