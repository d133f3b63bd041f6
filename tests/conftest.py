"""Set-up of the tests."""

import pytest

pytest.register_assert_rewrite("contract")
