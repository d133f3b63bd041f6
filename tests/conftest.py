"""Set-up of the tests."""

import pytest
from neural import t5_tokenizer as t5_tokenizer
from neural import device_of_tests as device_of_tests

pytest.register_assert_rewrite("contract")
