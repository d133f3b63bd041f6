"""Set-up of the tests."""

from tests.helpers.neural import device_of_tests as device_of_tests
from tests.helpers.neural import t5_tokenizer as t5_tokenizer
