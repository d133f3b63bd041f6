"""Set-up of the tests."""

import pytest
from neural import device_of_tests as device_of_tests
from neural import t5_tokenizer as t5_tokenizer

pytest.register_assert_rewrite("contract")
