"""The contract of `tests/helpers/contract.py` for every public estimator, and what of it holds for others."""

import numpy as np
import pytest

import xclassic
from tests.helpers.contract import ESTIMATORS, Contract, assert_writes_nothing, noisy, quick
from tests.helpers.neural import DEVICE, SMALL
from xclassic import features
from xclassic.storage import registry

for name in ESTIMATORS:
    globals()[f"Test{name}"] = type(f"Test{name}", (Contract,), {"estimator": quick(name)})


def without(reasons):
    """Return the contract but for some tests, each with the reason why it does not apply."""

    def emptied(cls):
        for name in reasons:
            assert callable(getattr(Contract, name))
            setattr(cls, name, None)
        return cls

    return emptied


BY_MATRICES = "is about matrices of features, but X is texts"
EXACT = "PyTorch rounds by batch, so that only near-equality could be checked"
OWN_TEST = "test_t5.py checks it for texts or names of labels"


@without(
    {
        "test_fit_solves_the_block_diagonal_problem": OWN_TEST,
        "test_features_sparse_and_dense_rank_the_same": BY_MATRICES,
        "test_labels_permuted_permute_the_predictions": "what is written depends on the names",
        "test_labels_by_name_and_class_vectors_train_the_same_model": "labels that are numbers need label_names",
        "test_predict_topk_of_a_batch_equals_that_of_its_rows": EXACT,
        "test_predict_topk_does_not_depend_on_chunks": EXACT,
        "test_all_scores_are_finite_and_rank_as_predictions": BY_MATRICES,
        "test_restriction_keeps_allowed_labels_and_scores": OWN_TEST,
        "test_restriction_prefers_the_best_allowed": OWN_TEST,
        "test_predict_topk_rejects_bad_restrictions": OWN_TEST,
        "test_model_does_not_depend_on_n_jobs": "n_jobs is not used",
        "test_model_does_not_depend_on_the_backend": "n_jobs is not used",
        "test_predictions_do_not_depend_on_the_backend": "n_jobs is not used",
        "test_threads_fit_and_predict_at_once": "training draws from the random state that threads share",
        "test_model_does_not_depend_on_the_form_of_the_input": BY_MATRICES,
        "test_save_and_load": "a folder does not hold the parameter model; test_t5.py checks the rest",
        "test_fit_takes_unusual_data": BY_MATRICES,
        "test_rows_without_features_and_labels": BY_MATRICES,
        "test_fit_rejects_bad_data": BY_MATRICES,
        "test_numbers_that_overflow_are_refused_or_make_a_model": BY_MATRICES,
        "test_predict_rejects_bad_queries": BY_MATRICES,
        "test_scale_of_normalized_features_does_not_matter": BY_MATRICES,
        "test_scale_of_raw_features_is_right_or_refused": BY_MATRICES,
        "test_estimate_memory": OWN_TEST,
        "test_prune_weights": "has no such method",
        "test_cross_validation": "needs a model that learns the problem, in six fits of seconds each",
        "test_ctrl_c_stops_a_fit": OWN_TEST,
        "test_stop_byte_ends_every_task": "runs no tasks",
    }
)
class TestT5Classifier(Contract):
    @pytest.fixture(autouse=True)
    def needs(self, t5_tokenizer):
        pytest.importorskip("transformers")
        self.tokenizer = t5_tokenizer

    @property
    def estimator(self):
        options = {"tokenizer": self.tokenizer, "epochs": 1, "max_length": 16, "device": DEVICE}
        return xclassic.T5Classifier({**SMALL, "dropout_rate": 0.0}, **options)

    def data(self):
        names = ["Bread", "Coffee", "Jam", "Juice", "Tea"]
        lists = [sorted({names[i % 5], names[i % 3 if i % 4 else i % 5]}) for i in range(40)]
        return [f"{' or '.join(labels).lower()} {i % 7}" for i, labels in enumerate(lists)], lists

    @pytest.mark.parametrize("method", ["predict_topk", "predict", "decision_function"])
    def test_prediction_writes_no_attribute(self, method):  # probabilities are those of a class vector
        super().test_prediction_writes_no_attribute(method)

    def other_data(self):
        return ["wool", "wood", "wool and wood"], [["Hat"], ["Shelf"], ["Hat", "Shelf"]]


@without(
    {
        "test_fit_solves_the_block_diagonal_problem": BY_MATRICES,
        "test_features_sparse_and_dense_rank_the_same": BY_MATRICES,
        "test_labels_permuted_permute_the_predictions": BY_MATRICES,
        "test_labels_by_name_and_class_vectors_train_the_same_model": BY_MATRICES,
        "test_predict_topk_of_a_batch_equals_that_of_its_rows": "test_xml_cnn.py checks it for texts",
        "test_predict_topk_does_not_depend_on_chunks": "test_xml_cnn.py checks it for texts",
        "test_all_scores_are_finite_and_rank_as_predictions": BY_MATRICES,
        "test_restriction_keeps_allowed_labels_and_scores": "test_xml_cnn.py checks it for texts",
        "test_restriction_prefers_the_best_allowed": "test_xml_cnn.py checks it for texts",
        "test_predict_topk_rejects_bad_restrictions": BY_MATRICES,
        "test_model_does_not_depend_on_n_jobs": "n_jobs is not used",
        "test_model_does_not_depend_on_the_backend": "n_jobs is not used",
        "test_predictions_do_not_depend_on_the_backend": "n_jobs is not used",
        "test_threads_fit_and_predict_at_once": "training draws from the random state that threads share",
        "test_model_does_not_depend_on_the_form_of_the_input": BY_MATRICES,
        "test_save_and_load": "test_xml_cnn.py checks it for texts",
        "test_fit_takes_unusual_data": BY_MATRICES,
        "test_rows_without_features_and_labels": BY_MATRICES,
        "test_fit_rejects_bad_data": BY_MATRICES,
        "test_numbers_that_overflow_are_refused_or_make_a_model": BY_MATRICES,
        "test_predict_rejects_bad_queries": BY_MATRICES,
        "test_scale_of_normalized_features_does_not_matter": BY_MATRICES,
        "test_scale_of_raw_features_is_right_or_refused": BY_MATRICES,
        "test_estimate_memory": "test_xml_cnn.py checks it for texts",
        "test_prune_weights": "has no such method",
        "test_cross_validation": "test_xml_cnn.py checks it for texts",
        "test_ctrl_c_stops_a_fit": "runs no tasks",
        "test_stop_byte_ends_every_task": "runs no tasks",
    }
)
class TestXMLCNN(Contract):
    @pytest.fixture(autouse=True)
    def needs(self):
        pytest.importorskip("torch")

    @property
    def estimator(self):
        sizes = {"n_dimensions": 8, "n_filters": 4, "bottleneck": 8, "max_length": 16}
        return xclassic.XMLCNN(**sizes, epochs=1, device=DEVICE)

    def data(self):
        return TestT5Classifier().data()

    def other_data(self):
        return TestT5Classifier().other_data()


IN_ITS_TESTS = "test_label_matcher.py checks it for texts"


@without(
    {
        "test_fit_solves_the_block_diagonal_problem": BY_MATRICES,
        "test_features_sparse_and_dense_rank_the_same": BY_MATRICES,
        "test_labels_permuted_permute_the_predictions": BY_MATRICES,
        "test_labels_by_name_and_class_vectors_train_the_same_model": BY_MATRICES,
        "test_predict_topk_of_a_batch_equals_that_of_its_rows": IN_ITS_TESTS,
        "test_predict_topk_does_not_depend_on_chunks": IN_ITS_TESTS,
        "test_all_scores_are_finite_and_rank_as_predictions": BY_MATRICES,
        "test_restriction_keeps_allowed_labels_and_scores": IN_ITS_TESTS,
        "test_restriction_prefers_the_best_allowed": BY_MATRICES,
        "test_predict_topk_rejects_bad_restrictions": BY_MATRICES,
        "test_model_does_not_depend_on_n_jobs": IN_ITS_TESTS,
        "test_model_does_not_depend_on_the_backend": BY_MATRICES,
        "test_predictions_do_not_depend_on_the_backend": BY_MATRICES,
        "test_threads_fit_and_predict_at_once": BY_MATRICES,
        "test_model_does_not_depend_on_the_form_of_the_input": BY_MATRICES,
        "test_save_and_load": IN_ITS_TESTS,
        "test_fit_takes_unusual_data": BY_MATRICES,
        "test_rows_without_features_and_labels": BY_MATRICES,
        "test_fit_rejects_bad_data": BY_MATRICES,
        "test_numbers_that_overflow_are_refused_or_make_a_model": BY_MATRICES,
        "test_predict_rejects_bad_queries": BY_MATRICES,
        "test_scale_of_normalized_features_does_not_matter": BY_MATRICES,
        "test_scale_of_raw_features_is_right_or_refused": BY_MATRICES,
        "test_estimate_memory": IN_ITS_TESTS,
        "test_prune_weights": "has no such method",
        "test_cross_validation": BY_MATRICES,
        "test_ctrl_c_stops_a_fit": BY_MATRICES,
        "test_stop_byte_ends_every_task": BY_MATRICES,
    }
)
class TestLabelMatcher(Contract):
    @pytest.fixture(autouse=True)
    def needs(self):
        pytest.importorskip("ahocorasick_rs")

    @property
    def estimator(self):
        return xclassic.LabelMatcher()

    def data(self):
        return TestT5Classifier().data()

    def other_data(self):
        return ["hats of wool", "shelf of wood", "wool and wood"], [["Hat"], ["Shelf"], ["Hat", "Shelf"]]


RECORDS = "predicts records, where the contract speaks of labels"
OF_MEMBERS = "its estimators do the work, and each is under the contract itself"


@without(
    {
        "test_fit_solves_the_block_diagonal_problem": RECORDS,
        "test_features_sparse_and_dense_rank_the_same": OF_MEMBERS,
        "test_labels_permuted_permute_the_predictions": RECORDS,
        "test_labels_by_name_and_class_vectors_train_the_same_model": RECORDS,
        "test_predict_topk_is_well_formed": OF_MEMBERS,
        "test_predict_topk_of_a_batch_equals_that_of_its_rows": OF_MEMBERS,
        "test_predict_topk_does_not_depend_on_chunks": OF_MEMBERS,
        "test_predict_of_zero_rows": RECORDS,
        "test_all_scores_are_finite_and_rank_as_predictions": RECORDS,
        "test_restriction_keeps_allowed_labels_and_scores": "predict_topk takes no restriction",
        "test_each_row_may_have_labels_of_its_own": "predict_topk takes no restriction",
        "test_restriction_prefers_the_best_allowed": "predict_topk takes no restriction",
        "test_weights_of_labels_weigh_all_scores": "predict_topk takes no weights",
        "test_predict_topk_rejects_bad_restrictions": "predict_topk takes no restriction",
        "test_model_does_not_depend_on_n_jobs": "its estimators have n_jobs",
        "test_model_does_not_depend_on_the_backend": OF_MEMBERS,
        "test_predictions_do_not_depend_on_the_backend": OF_MEMBERS,
        "test_threads_fit_and_predict_at_once": "its estimators have n_jobs",
        "test_model_does_not_depend_on_the_form_of_the_input": OF_MEMBERS,
        "test_save_and_load": "a folder does not hold the parameter estimator; test_fields.py checks the rest",
        "test_fit_takes_unusual_data": OF_MEMBERS,
        "test_rows_without_features_and_labels": OF_MEMBERS,
        "test_fit_rejects_bad_data": RECORDS,
        "test_predict_rejects_bad_queries": OF_MEMBERS,
        "test_failed_fit_leaves_the_estimator_unfitted": "like scikit-learn's, it keeps what an earlier fit set",
        "test_fit_rejects_bad_parameters": "its estimators have n_jobs",
        "test_scale_of_normalized_features_does_not_matter": OF_MEMBERS,
        "test_scale_of_raw_features_is_right_or_refused": OF_MEMBERS,
        "test_estimate_memory": "has no such method",
        "test_prune_weights": "has no such method",
        "test_cross_validation": "y is a table; test_fields.py searches over one",
        "test_ctrl_c_stops_a_fit": OF_MEMBERS,
        "test_stop_byte_ends_every_task": OF_MEMBERS,
    }
)
class TestFieldsClassifier(Contract):
    estimator = xclassic.FieldsClassifier(xclassic.DiSMEC(), path=("group", "type"), fields=("brand",))

    def rankings(self, model, X, k):
        return list(model.predict_topk(X, k).values())

    def data(self):
        X, Y = noisy()
        label = np.argmax(Y.toarray(), axis=1)
        rows = [{"group": f"G{i % 3}", "type": f"T{i}", "brand": f"B{i % 5}" if i % 4 else None} for i in label]
        return X, rows

    def other_data(self):
        X, _ = noisy(seed=1, n_features=20)
        return X, [{"group": f"G{i % 2}", "type": f"T{i % 4}", "brand": "B"} for i in range(X.shape[0])]


# tests/test_bert.py does the same for BertEncoder, since it has a model.
@pytest.mark.parametrize("name", sorted({*registry.TRANSFORMERS} - {"BertEncoder"}))
def test_transforming_writes_no_attribute(name):
    texts = ["red shorts", "blue jeans", "red jeans"]
    X, Y = (texts, None) if name in ("TextFeatures", "WordVectors") else noisy()
    transformer = getattr(features, name)()
    if "n_components" in transformer.get_params():
        transformer.set_params(n_components=8)
    assert_writes_nothing(transformer.fit(X, Y), "transform", X)
