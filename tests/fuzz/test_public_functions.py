"""Matrices of all kinds at every public function that takes one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.odd_inputs import fuzz, is_refusal, outcome
from tests.helpers.odd_matrices import BROKEN, FORMS, ODD
from tests.helpers.public_calls import MATRICES, TAKE_VECTORS, call

pytestmark = pytest.mark.long
CHANGES = FORMS | BROKEN | ODD
READ_SHAPES_ALONE = ("estimate_memory",)


@pytest.mark.parametrize("name", [name for name in MATRICES if not any(part in name for part in READ_SHAPES_ALONE)])
def test_matrices(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    function, valid = MATRICES[name]

    @fuzz(20)
    @given(change=st.sampled_from(sorted(CHANGES)), at=st.integers(0, 10**6))
    def pass_on(change, at):
        found = outcome(call, function, CHANGES[change](valid.copy(), at), folder)
        if change in BROKEN and not ("one" in change and name in TAKE_VECTORS):
            assert is_refusal(found)

    pass_on()
