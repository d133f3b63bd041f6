"""The layers of a T5 against its own forward pass."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.helpers.neural import DEVICE  # noqa: E402
from xclassic.neural.layers import decode, encode  # noqa: E402

SIZES = {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 3, "num_heads": 4}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
KINDS = [("T5", {}), ("T5", GATED), ("T5", {"num_decoder_layers": 1}), ("MT5", {}), ("UMT5", {})]


@pytest.fixture(params=KINDS)
def model(request):
    torch.manual_seed(0)
    kind, options = request.param
    sizes = {**SIZES, **options, "decoder_start_token_id": 0, "dropout_rate": 0.0}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config).to(DEVICE)


@pytest.fixture
def batch():
    tokens = torch.randint(2, 40, (5, 11), device=DEVICE)
    mask = (torch.arange(11) < torch.tensor([[11], [4], [1], [7], [10]])).long().to(DEVICE)
    return tokens, mask, torch.randint(2, 40, (5, 6), device=DEVICE)


def gradients(model, states):
    model.zero_grad()
    states.cos().sum().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_states_and_gradients_are_those_of_transformers(model, batch, checkpointing):
    tokens, mask, written = batch
    encoded = model.get_encoder()(input_ids=tokens, attention_mask=mask).last_hidden_state
    states = model.get_decoder()(
        input_ids=written, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
    ).last_hidden_state
    expected = gradients(model, states)
    found_encoded = encode(model, tokens, mask, checkpointing=checkpointing)
    found = decode(model, written, found_encoded, mask, checkpointing=checkpointing)
    filled = mask.bool()
    torch.testing.assert_close(found_encoded[filled], encoded[filled], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, states, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(gradients(model, found), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_last_tokens_do_not_change_earlier_states(model, batch):
    tokens, mask, written = batch
    encoded = encode(model, tokens, mask)
    states = decode(model, written, encoded, mask)
    torch.testing.assert_close(decode(model, written[:, :3], encoded, mask), states[:, :3], rtol=1e-4, atol=1e-5)


def test_dropout_is_of_training_alone(batch):
    torch.manual_seed(0)
    config = transformers.T5Config(**SIZES, decoder_start_token_id=0, dropout_rate=0.5)
    model = transformers.T5ForConditionalGeneration(config).to(DEVICE).eval()
    tokens, mask, _ = batch
    assert torch.equal(encode(model, tokens, mask), encode(model, tokens, mask))
    model.train()
    assert not torch.equal(encode(model, tokens, mask), encode(model, tokens, mask))
