"""T5, mT5 and umT5 networks and their tokenizers: from the hub, a folder or a configuration, and in model folders."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from transformers import (
    AutoConfig,
    AutoTokenizer,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)
from transformers.activations import ACT2FN

from xclassic.networks.stored_tokenizer import read_tokenizer, tokenizer_errors
from xclassic.networks.torch_support import load_pretrained, seeded
from xclassic.neural.vocabulary import set_embeddings
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.validation.parameters import check_choice, check_number

# By the type in a configuration. An mT5 is a T5 of many languages, and a umT5 has position biases in each layer.
KINDS: dict[str, tuple[Any, Any]] = {
    "t5": (T5Config, T5ForConditionalGeneration),
    "mt5": (MT5Config, MT5ForConditionalGeneration),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration),
}
SPECIAL = ("eos_token", "pad_token", "unk_token")
SIZES = (
    "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads",
    "relative_attention_num_buckets", "relative_attention_max_distance",
)  # fmt: skip
FLAGS = ("is_gated_act", "scale_decoder_outputs", "tie_word_embeddings")
TOKENS = ("pad_token_id", "decoder_start_token_id")
# The fields of a configuration that a folder may set. Others name code to be loaded, or change what a network returns.
FIELDS = (*SIZES, *FLAGS, *TOKENS, "dropout_rate", "layer_norm_epsilon", "feed_forward_proj", "dense_act_fn")


class Network(NamedTuple):
    """A T5 and the tokenizer of its input and output.

    Attributes
    ----------
    model : T5ForConditionalGeneration
    tokenizer : PreTrainedTokenizerFast
    """

    model: Any
    tokenizer: Any

    def encode(self, texts: NDArray[np.object_], max_length: int) -> tuple[list[list[int]], int]:
        """Return the tokens of texts, each with the end token, and how many were cut.

        Parameters
        ----------
        texts : ndarray of str, shape (n_rows,)
        max_length : int
            Most tokens of a text, including the end token.
        """
        with tokenizer_errors():
            rows = self.tokenizer(texts.tolist(), add_special_tokens=False)["input_ids"] if texts.size else []
        n_cut = sum(len(row) >= max_length for row in rows)
        return [[*row[: max_length - 1], self.tokenizer.eos_token_id] for row in rows], n_cut


def load_network(model: Any, tokenizer: str | None, seed: int) -> Network:
    """Return a network to be trained.

    Parameters
    ----------
    model : str, dict, T5Config, MT5Config or UMT5Config
        The id of a model on the hub, a folder, or a configuration, whose weights are drawn at random.
    tokenizer : str or None
        Id or folder of the tokenizer; None takes the tokenizer of `model`.
    seed : int
        Seed of random weights.

    Raises
    ------
    OSError, ValueError
        If something is missing, is not a T5, or does not fit.
    """
    if model is None:
        raise ValueError("model is None, as after loading; name the weights to start from before fitting again.")
    if tokenizer is None and not isinstance(model, str):
        raise ValueError("model is a configuration without tokenizer; pass one, as in tokenizer='google-t5/t5-base'.")
    words = load_pretrained(AutoTokenizer, tokenizer if tokenizer is not None else model)
    if not words.is_fast or words.eos_token_id is None or words.pad_token_id is None:
        raise ValueError(
            f"The tokenizer {type(words).__name__} is slow or has no end and padding tokens; pass one of T5."
        )
    words = _plain_tokenizer(words.backend_tokenizer.to_str(), {name: getattr(words, name) for name in SPECIAL})
    network = _pretrained(model) if isinstance(model, str) else _random(model, words, seed)
    if network.config.vocab_size < len(words):
        raise ValueError(f"The tokenizer has {len(words)} tokens, the model only {network.config.vocab_size}.")
    return Network(network.float().eval(), words)


def _pretrained(model: str) -> Any:
    config = load_pretrained(AutoConfig, model)
    if config.model_type not in KINDS:
        known = ", ".join(map(repr, KINDS))
        raise ValueError(
            f"{model} holds a model of type {config.model_type!r}; T5Classifier needs one of type {known}."
        )
    network, found = load_pretrained(KINDS[config.model_type][1], model, output_loading_info=True)
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"{model} lacks {len(missing)} weights of a T5, such as {missing[0]}.")
    return network


def _random(config: Any, words: Any, seed: int) -> Any:
    options = dict(config) if isinstance(config, dict) else config.to_dict()
    config_class, model_class = _classes(options)
    # A T5 begins its output with the padding token.
    options = {"vocab_size": len(words), "decoder_start_token_id": words.pad_token_id, **options}
    if options["decoder_start_token_id"] is None:
        options["decoder_start_token_id"] = words.pad_token_id
    with seeded(seed, torch.device("cpu")):
        return model_class(config_class.from_dict(options))


def _classes(options: dict[str, Any]) -> tuple[Any, Any]:
    """Return the classes of the configuration and of the network that a configuration is of."""
    kind = options.get("model_type", "t5")
    check_choice("model_type", kind, tuple(KINDS))
    return KINDS[kind]


def _plain_tokenizer(content: str, special: dict[str, Any]) -> Any:
    plain = {name: str(token) for name, token in special.items() if token is not None}
    tokenizer = read_tokenizer(content.encode())
    if missing := [token for token in plain.values() if tokenizer.token_to_id(token) is None]:
        raise ValueError(f"The tokenizer has no token {missing[0]!r}, which is to be a special one.")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **plain)


def add_tokens(model: Any, n: int, seed: int) -> int:
    """Add tokens to a T5, whose vectors are drawn at random with the spread of the existing ones.

    Parameters
    ----------
    model : T5ForConditionalGeneration
        Changed in place.
    n : int
    seed : int

    Returns
    -------
    int
        The first new token.
    """
    first = int(model.config.vocab_size)
    drawn = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, model.config.d_model), np.float32))
    drawn = drawn.to(model.device)
    tied = model.lm_head.weight is model.shared.weight
    old, old_head = model.shared.weight.detach(), model.lm_head.weight.detach()
    embedding = torch.nn.Embedding.from_pretrained(torch.cat([old, old[:first].std() * drawn]), freeze=False)
    head = torch.nn.Linear(model.config.d_model, len(embedding.weight), bias=False, device="meta")
    if tied:
        head.weight = embedding.weight
    else:
        head.weight = torch.nn.Parameter(torch.cat([old_head, old_head[:first].std() * drawn]))
    set_embeddings(model, embedding, head)
    model.config.vocab_size = first + n
    return first


def count_weights(model: Any) -> tuple[int, int]:
    """Return the number of weights of a T5, and roughly the bytes of activations per token in training.

    Parameters
    ----------
    model : str, dict or T5Config
        As for `load_network`; for a name only the configuration is loaded.
    """
    config = load_pretrained(AutoConfig, model) if isinstance(model, str) else model
    config_class, model_class = _classes(config if isinstance(config, dict) else config.to_dict())
    config = config_class.from_dict(config) if isinstance(config, dict) else config
    with torch.device("meta"):
        network = model_class(config)
    layers = config.num_layers + (config.num_decoder_layers or config.num_layers)
    per_token = 4 * layers * (8 * config.d_model + 3 * config.d_ff)
    return sum(p.numel() for p in network.parameters()), per_token


# Persistence


def network_arrays(network: Network) -> tuple[Arrays, dict[str, Any]]:
    """Return a network as files and metadata, the inverse of `restored_network`."""
    weights = {name: p.detach().cpu().contiguous() for name, p in network.model.named_parameters()}
    arrays = {
        "weights.safetensors": np.frombuffer(save_tensors(weights), np.uint8),
        "tokenizer.json": np.frombuffer(network.tokenizer.backend_tokenizer.to_str().encode(), np.uint8),
    }
    found = network.model.config
    config = {name: getattr(found, name) for name in ("model_type", *FIELDS) if hasattr(found, name)}
    special = {name: getattr(network.tokenizer, name) for name in SPECIAL}
    return arrays, {"config": config, "special_tokens": special}


def restored_network(arrays: Arrays, metadata: dict[str, Any]) -> Network:
    """Return the network of `network_arrays`.

    Raises
    ------
    ModelFileError
        If anything is missing, does not fit, or is not finite.
    """
    try:
        special = metadata["special_tokens"]
        words = _plain_tokenizer(bytes(arrays["tokenizer.json"]).decode(), {name: special[name] for name in SPECIAL})
        if words.eos_token_id is None or words.pad_token_id is None:
            raise ValueError("its tokenizer has no end or padding token")
        weights = load_tensors(bytes(arrays["weights.safetensors"]))
        config = _stored_config(metadata["config"], len(weights))
        if (n_tokens := max(words.get_vocab().values()) + 1) > config.vocab_size:
            raise ValueError(f"its tokenizer has {n_tokens} tokens, the T5 only {config.vocab_size}")
        with torch.device("meta"):  # No memory is taken before the weights are known to fit.
            model = KINDS[config.model_type][1](config)
            tied = "lm_head.weight" not in weights
            if not tied:
                model.lm_head = torch.nn.Linear(config.d_model, config.vocab_size, bias=False)
        shapes = {name: p.shape for name, p in model.named_parameters()}
        if {name: tensor.shape for name, tensor in weights.items()} != shapes:
            raise ValueError("the weights do not fit the configuration")
        if any(tensor.dtype != torch.float32 or not tensor.isfinite().all() for tensor in weights.values()):
            raise ValueError("the weights are not finite numbers in float32")
        model.load_state_dict(weights, strict=False, assign=True)
        if tied:
            model.lm_head.weight = model.shared.weight
        set_embeddings(model, model.shared, model.lm_head)
    except ModelFileError:
        raise
    except (SafetensorError, Exception) as error:  # Tokenizers raise bare Exceptions.
        raise ModelFileError(f"The T5 of the model is damaged: {type(error).__name__}: {error}.") from error
    return Network(model.eval(), words)


def _stored_config(fields: dict[str, Any], n_weights: int) -> Any:
    """Return a configuration after checking that it is one of a T5 with so many weights."""
    config = _classes(fields)[0].from_dict({name: fields[name] for name in FIELDS if name in fields})
    for name in SIZES:
        check_number(name, getattr(config, name), minimum=1, maximum=2**31 - 1, integer=True)
    for name in TOKENS:
        check_number(name, getattr(config, name), minimum=0, maximum=config.vocab_size - 1, integer=True)
    for name in FLAGS:
        check_choice(name, getattr(config, name, False), (True, False))  # An mT5 has no scaled outputs.
    check_number("layer_norm_epsilon", config.layer_norm_epsilon, minimum=0, maximum=1, inclusive=False)
    check_number("dropout_rate", config.dropout_rate, minimum=0, maximum=1)
    check_choice("dense_act_fn", config.dense_act_fn, tuple(ACT2FN))
    n_layers = config.num_layers + (config.num_decoder_layers or 0)
    if n_layers > n_weights:
        raise ValueError(f"it has {n_weights} arrays for {n_layers} layers")
    # Distances below half the buckets have buckets of their own, and the others share the rest.
    if not 2 <= config.relative_attention_num_buckets // 2 < config.relative_attention_max_distance:
        raise ValueError("its relative attention has fewer than four buckets, or more than distances")
    return config
