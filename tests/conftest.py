"""Fixtures of several test modules."""

import pytest
from hypothesis import settings

from tests.helpers.interrupts import sigint_heard
from tests.helpers.neural import DEVICE, unpack_tokenizer
from xclassic._kernels import blocks as kernels

settings.register_profile("no clock", deadline=None)  # A slow machine is no fault of what is tested.
settings.load_profile("no clock")


@pytest.fixture(scope="session", autouse=True)
def device_of_tests():
    """Let a GPU compute in float32 unless a test says otherwise, and the same bits each time."""
    if DEVICE != "cpu":
        import torch

        torch.use_deterministic_algorithms(True)
        torch.cuda.is_bf16_supported = lambda including_emulation=True: including_emulation  # as `autocast` asks


@pytest.fixture(scope="session")
def t5_tokenizer(tmp_path_factory):
    """Folder of the tokenizer of T5; models so small are fastest on one thread."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return unpack_tokenizer(tmp_path_factory.mktemp("t5_tokenizer"))


@pytest.fixture(params=kernels.simd_levels())
def level(request):
    """Run a test with each instruction set that the machine has."""
    before = kernels.simd_level()
    kernels.use_simd_level(request.param)
    yield request.param
    kernels.use_simd_level(before)


@pytest.fixture
def ctrl_c():
    """Let SIGINT interrupt this process and those that it starts."""
    with sigint_heard():
        yield
