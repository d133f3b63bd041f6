"""Tests."""

import pytest

pytest.register_assert_rewrite("tests.helpers")  # or a failed assert in them would show no values
