"""Products in bfloat16 against autocast alone."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.helpers.neural import DEVICE  # noqa: E402
from xclassic.networks.half_products import add_to_full, half_products, refresh  # noqa: E402
from xclassic.neural.layers import encode  # noqa: E402

KIND = torch.device(DEVICE).type


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0, dropout_rate=0.0)
    return transformers.T5ForConditionalGeneration(config).to(DEVICE)


def states(model):
    tokens = torch.arange(2, 38, device=DEVICE).view(3, 12)
    with torch.autocast(KIND, torch.bfloat16):
        return encode(model, tokens, torch.ones_like(tokens)).float()


def gradients(model):
    model.zero_grad()
    states(model).cos().sum().backward()


def test_the_model_is_as_before_after_the_block(model):
    before = {name: (p, p.detach().clone()) for name, p in model.named_parameters()}
    modules = dict(model.named_modules())
    with half_products(model) as full:
        assert {half.dtype for half in full} == {torch.bfloat16}
        assert model.shared.weight.dtype == torch.float32
    with pytest.raises(KeyboardInterrupt), half_products(model):
        raise KeyboardInterrupt
    assert dict(model.named_modules()) == modules
    for name, parameter in model.named_parameters():
        same, content = before[name]
        assert parameter is same
        assert torch.equal(parameter, content)


def test_states_and_gradients_are_those_of_autocast(model):
    gradients(model)
    expected, at_first = {p: p.grad for p in model.parameters() if p.grad is not None}, states(model)
    with half_products(model) as full:
        torch.testing.assert_close(states(model), at_first, rtol=0.02, atol=0.02)
        gradients(model)
        add_to_full(full)
        for parameter, theirs in expected.items():
            ours = full.get(parameter, parameter).grad
            assert ours.dtype == torch.float32
            assert (ours - theirs).norm() <= 0.02 * theirs.norm()


def test_gradients_are_added_up_in_float32(model):
    with half_products(model) as full:
        gradients(model)
        once = {half: half.grad.float() for half in full if half.grad is not None}
        add_to_full(full)
        gradients(model)
        add_to_full(full)
        assert once
        for half, grad in once.items():
            assert torch.equal(full[half].grad, 2 * grad)
            assert half.grad is None


def test_changes_of_the_whole_weights_stay(model):
    weight = model.encoder.block[0].layer[0].SelfAttention.q.weight
    content = weight.detach().clone()
    with half_products(model) as full:
        with torch.no_grad():
            full[weight].add_(1e-6)
        refresh(full)
        assert torch.equal(weight, content.add(1e-6).bfloat16())
    assert torch.equal(weight, content.add(1e-6))


def test_a_model_stays_as_it_is_where_nothing_is_asked(model):
    modules = dict(model.named_modules())
    with half_products(model, enabled=False) as full:
        assert full == {}
        assert dict(model.named_modules()) == modules
        assert {p.dtype for p in model.parameters()} == {torch.float32}
