"""The network of an encoder of texts: loading and restoring it, its tokenizer, and the rows of batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from threading import Barrier
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic.features.vector_cache import Vectors
from xclassic.networks.stored_tokenizer import read_tokenizer, tokenizer_errors
from xclassic.networks.torch_support import load_pretrained, memory_errors
from xclassic.parallel import fork_safe_lock
from xclassic.storage.folder import Arrays, ModelFileError

Texts = NDArray[np.object_]
Tokens = NDArray[np.int32]
Metadata = dict[str, Any]

CPU_TOKENS = 2048  # Tokens per batch. Arrays of more are so large that the system provides their memory each time.
GPU_TOKENS = 32768
TOKENIZED_AT_ONCE = 1000  # Texts per call. The tokenizer's result takes 100 bytes per token until it is cut down to 4.
THREADS = fork_safe_lock()  # Held while PyTorch's number of threads differs from the user's setting.
NO_LIMIT = 2**31 - 1  # Tokens. Tokenizers without a limit give a number far above this.


@dataclass(eq=False)
class EncoderNetwork:
    """An encoder on its device, and its tokenizer.

    Attributes
    ----------
    module : PreTrainedModel of transformers
    tokenizer : Tokenizer of tokenizers
        It is not shared, because its limit is set.
    longest : int
        Most tokens that a text may have.
    n_dimensions : int
    """

    module: Any
    tokenizer: Any
    longest: int
    n_dimensions: int

    @property
    def kind(self) -> str:
        kind: str = self.module.device.type
        return kind

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, including padding, with which the device is fastest."""
        return CPU_TOKENS if self.kind == "cpu" else GPU_TOKENS

    @property
    def dtype(self) -> str:
        return str(self.module.dtype).removeprefix("torch.")

    @cached_property
    def fingerprint(self) -> str:
        """A digest that differs between networks that encode differently."""
        import torch

        parts = [self._config(), self._tokenizer_json()]
        digest = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16)
        for name, tensor in self._weights().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def limit(self, max_length: int | None) -> int:
        """Set and return the most tokens of a text.

        Raises
        ------
        ValueError
            If the model cannot read so many, or so few leave no room for text.
        """
        with tokenizer_errors():
            added = len(self.tokenizer.encode("").ids)
        if max_length is None and self.longest >= NO_LIMIT:
            raise ValueError("This model has no limit of its own for the tokens of a text; pass max_length.")
        if max_length is not None and not added < max_length <= self.longest:
            raise ValueError(
                f"max_length is {max_length}; this model reads up to {self.longest} tokens, and {added} are around any "
                "text."
            )
        length = max_length or self.longest
        self.tokenizer.enable_truncation(length)
        return length

    def tokenize(self, texts: Texts) -> tuple[list[Tokens], NDArray[np.bool_]]:
        """Return the tokens of each text, and whether it was cut."""
        tokens, _, cut = self.windows(texts, 1)
        return tokens, cut

    def windows(self, texts: Texts, most: int) -> tuple[list[Tokens], NDArray[np.int64], NDArray[np.bool_]]:
        """Cut each text into at most so many windows, each as long as the limit but the last.

        Returns
        -------
        tokens : list of ndarray of int32
            Of the windows of the first text, then of those of the second, and so on.
        counts : ndarray of int64, shape (n_texts,)
            Windows of each text.
        cut : ndarray of bool, shape (n_texts,)
            Whether a text is longer than its windows.
        """
        tokens: list[Tokens] = []
        counts, cut = np.ones(texts.size, np.int64), np.zeros(texts.size, np.bool_)
        for start in range(0, texts.size, TOKENIZED_AT_ONCE):
            with tokenizer_errors():
                found = self.tokenizer.encode_batch_fast(texts[start : start + TOKENIZED_AT_ONCE].tolist())
            for i, encoding in enumerate(found, start):
                rest = encoding.overflowing
                tokens += [np.array(window.ids, np.int32) for window in (encoding, *rest[: most - 1])]
                counts[i], cut[i] = min(1 + len(rest), most), len(rest) >= most
        return tokens, counts, cut

    def vectors(self, batch: Sequence[Tokens], pooling: str, normalize: bool) -> Vectors:
        """Return a row for the tokens of each text."""
        import torch

        with torch.inference_mode():
            rows: Vectors = self.pooled(batch, pooling, normalize).cpu().numpy()
            return rows

    def pooled(self, batch: Sequence[Tokens], pooling: str, normalize: bool) -> Any:
        """Return the tensor of `vectors`, whose gradient reaches the weights that are trained."""
        import torch

        hidden, mask = self.hidden(batch)
        hidden = hidden.float()
        if pooling == "cls":
            pooled = hidden[:, 0]
        elif mask is None:
            pooled = hidden.mean(dim=1)
        else:
            pooled = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return torch.nn.functional.normalize(pooled, dim=1) if normalize else pooled

    def hidden(self, batch: Sequence[Tokens]) -> tuple[Any, Any]:
        """Return the output of the last layer, and which of its positions are tokens (None if all are)."""
        import torch

        lengths = np.array([tokens.size for tokens in batch])
        padded = np.full((lengths.size, lengths.max()), _padding(self.module.config), np.int64)
        for row, tokens in zip(padded, batch, strict=True):
            row[: tokens.size] = tokens
        mask = None
        if lengths.min() < lengths.max():
            mask = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None]).long().to(self.module.device)
        ids = torch.from_numpy(padded).to(self.module.device)
        return self.module(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def stored(self) -> tuple[Arrays, Metadata]:
        """Return the stored state, the arguments of `restored`."""
        from safetensors.torch import save

        arrays = {
            "weights.safetensors": np.frombuffer(save(self._weights()), np.uint8),
            "tokenizer.json": np.frombuffer(self._tokenizer_json().encode(), np.uint8),
        }
        return arrays, {"config": self._config(), "longest": self.longest, "n_dimensions": self.n_dimensions}

    def _weights(self) -> dict[str, Any]:
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.module.state_dict().items()}

    def _config(self) -> Metadata:
        config: Metadata = json.loads(json.dumps(_architecture(self.module.config)))
        return config

    def _tokenizer_json(self) -> str:
        """Return the tokenizer as JSON without its limit, which belongs to the encoder."""
        from tokenizers import Tokenizer

        plain = Tokenizer.from_str(self.tokenizer.to_str())
        plain.no_truncation()
        content: str = plain.to_str()
        return content


def batches_of(lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.intp]]:
    """Cut texts, longest first, into batches of at most `budget` tokens including padding, or of one text."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < order.size:
        stop = start + max(1, budget // int(lengths[order[start]]))
        batches.append(order[start:stop])
        start = stop
    return batches


def run_batches(encode: Callable[[Any], Vectors], batches: list[Any], kind: str) -> Generator[Vectors, None, None]:
    """Yield the rows of each batch, in order; on a CPU one thread computes each batch.

    Threads that share the work on a batch would wait for each other hundreds of times per batch.
    """
    import torch

    n_threads = torch.get_num_threads() if kind == "cpu" else 1
    if len(batches) < n_threads or n_threads == 1:
        yield from map(encode, batches)
        return
    executor = _single_threads(n_threads)
    try:
        yield from executor.map(encode, batches)
    finally:
        executor.shutdown(cancel_futures=True)


def _single_threads(n_threads: int) -> ThreadPoolExecutor:
    """Return an executor in whose threads PyTorch starts no further threads."""
    import torch

    ready = Barrier(n_threads + 1, timeout=60)

    def begin() -> None:
        torch.set_num_threads(1)
        ready.wait()

    with THREADS:
        executor = ThreadPoolExecutor(n_threads)
        for _ in range(n_threads):
            executor.submit(begin)
        ready.wait()
        torch.set_num_threads(n_threads)  # Each thread has its own number; new threads take the last one set anywhere.
    return executor


def check_finite(rows: Vectors, texts: Texts) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        text = texts[int(np.argmin(finite))]
        raise ValueError(
            f"The model gives NaN or infinity for the text {text[:60]!r}; its weights are damaged, or made for another "
            "architecture. Try dtype='float32' or another model."
        )


# Loading


def pretrained(model: str, device: Any, dtype: str) -> EncoderNetwork:
    """Load a network from a folder or the hub."""
    import torch
    import transformers

    try:
        with _quiet():
            config = load_pretrained(transformers.AutoConfig, model, trust_remote_code=False)
            _check_architecture(config)
            words = load_pretrained(transformers.AutoTokenizer, model, trust_remote_code=False)
            module, found = load_pretrained(
                transformers.AutoModel,
                model,
                config=config,
                dtype=getattr(torch, dtype),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # Mismatches are reported below.
                trust_remote_code=False,
            )
            network = _network(module, found, _plain_tokenizer(words), _longest(module, words.model_max_length))
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:  # Files that are damaged or do not fit raise many kinds of errors.
        reason = _reason(error) + " (try dtype='float32')" * (dtype == "bfloat16")
        raise ValueError(reason if model in reason else f"BertEncoder cannot use {model}: {reason}") from error
    return _placed(network, device)


def restored(arrays: Arrays, metadata: Metadata, device: Any, dtype: str) -> EncoderNetwork:
    """Return the network of `EncoderNetwork.stored`."""
    import torch
    from safetensors.torch import load

    try:
        config = _stored_config(metadata["config"])
        weights = load(arrays["weights.safetensors"].tobytes())
        cls = _checked_class(config, weights)
        with _quiet():
            module, found = cls.from_pretrained(
                None, config=config, state_dict=weights, dtype=getattr(torch, dtype), output_loading_info=True
            )
        if metadata["longest"] > (longest := _longest(module, NO_LIMIT)):
            raise ValueError(f"it is to read {metadata['longest']} tokens, and can read {longest}")
        tokenizer = read_tokenizer(arrays["tokenizer.json"].tobytes())
        network = _network(module, found, tokenizer, metadata["longest"])
        if network.n_dimensions != metadata["n_dimensions"]:
            raise ValueError(f"its rows have {network.n_dimensions} columns, not {metadata['n_dimensions']}")
    except (ImportError, MemoryError, ModelFileError):
        raise
    except Exception as error:  # Files that are damaged or do not fit raise many kinds of errors.
        raise ModelFileError(f"The encoder of the model is damaged: {_reason(error)}") from error
    return _placed(network, device)


def _placed(network: EncoderNetwork, device: Any) -> EncoderNetwork:
    with memory_errors("the encoder itself does not fit; use device='cpu'"):
        network.module.to(device)
    return network


def _network(module: Any, found: dict[str, Any], tokenizer: Any, longest: int) -> EncoderNetwork:
    """Return a network after checking that it is complete and works."""
    import torch

    missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {missing[0]}")
    if found["mismatched_keys"]:
        name = min(str(key[0]) for key in found["mismatched_keys"])
        raise ValueError(f"weights such as {name} have other shapes than its configuration says")
    module.pooler = None  # Its output is not needed.
    module.eval().requires_grad_(False)
    if not all(tensor.isfinite().all() for tensor in module.state_dict().values()):
        raise ValueError("its weights have NaN or infinity")
    n_tokens = max(tokenizer.get_vocab().values()) + 1
    if n_tokens > module.config.vocab_size:
        raise ValueError(f"the tokenizer has {n_tokens} tokens, the model only {module.config.vocab_size}")
    with tokenizer_errors():
        around, tokens = (np.array(tokenizer.encode(text).ids, np.int32) for text in ("", "a"))
    if not around.size:
        raise ValueError("its tokenizer puts no tokens such as [CLS] around texts, so an empty one would have none")
    network = EncoderNetwork(module, tokenizer, longest, 0)
    tokens = tokens[:longest]
    with torch.inference_mode():
        alone = network.hidden([tokens])[0][0].float()
        padded = network.hidden([tokens, np.tile(tokens, 2)[:longest]])[0][0, : tokens.size].float()
    if not torch.allclose(alone, padded, atol=1e-4 if network.dtype == "float32" else 0.1):
        raise ValueError("what it computes for a text depends on how long the texts beside it are, or is not a number")
    network.n_dimensions = alone.shape[1]
    return network


def _check_architecture(config: Any) -> None:
    """Refuse a model that does not read a whole text at once, or reads more than text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as ENCODERS

    if config.model_type not in ENCODERS or config.is_encoder_decoder or config.sub_configs:
        raise ValueError(
            f"its model is of type {config.model_type!r}, which is not an encoder of texts; pass a model of a type "
            "such as 'bert', 'roberta', 'xlm-roberta', 'mpnet', 'distilbert', 'deberta-v2' or 'modernbert'"
        )
    if getattr(config, "is_decoder", False):
        raise ValueError("its configuration makes it a decoder (is_decoder), which sees only what is before a token")


def _architecture(config: Any) -> Metadata:
    """Return the fields specific to an architecture; common fields have no effect, or name code to be loaded."""
    from transformers import PreTrainedConfig

    known = type(config)().to_dict().keys() - PreTrainedConfig().to_dict().keys()
    return {name: value for name, value in config.to_dict().items() if name in known or name == "model_type"}


def _stored_config(fields: Metadata) -> Any:
    """Return the configuration of `_architecture`."""
    from transformers import AutoConfig

    known = _architecture(AutoConfig.for_model(fields["model_type"]))
    config = AutoConfig.for_model(**{name: value for name, value in fields.items() if name in known})
    _check_architecture(config)
    return config


def _checked_class(config: Any, weights: dict[str, Any]) -> Any:
    """Return the class of a model after checking that weights fit it, before any memory is taken for it."""
    import torch
    from transformers import AutoModel

    if getattr(config, "num_hidden_layers", 0) > len(weights):
        raise ValueError(f"it has {len(weights)} arrays for {config.num_hidden_layers} layers")
    with torch.device("meta"):
        empty = AutoModel.from_config(config, trust_remote_code=False)
    empty.pooler = None
    if {name: t.shape for name, t in weights.items()} != {name: t.shape for name, t in empty.state_dict().items()}:
        raise ValueError("its weights do not fit its configuration")
    return type(empty)


def _longest(module: Any, limit: int) -> int:
    """Return how many tokens a model can read, given what its tokenizer says."""
    import torch

    limits = [limit, getattr(module.config, "max_position_embeddings", None) or NO_LIMIT, NO_LIMIT]
    for name, part in module.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, torch.nn.Embedding):
            # RoBERTa and related models count positions from the one after padding.
            limits.append(part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1))
    return min(limits)


def _plain_tokenizer(words: Any) -> Any:
    """Return a copy of a tokenizer that neither cuts nor pads."""
    if getattr(words, "backend_tokenizer", None) is None:
        raise ValueError(f"its tokenizer, a {type(words).__name__}, has no tokenizer.json; save it as a fast tokenizer")
    if len(words) <= len(words.all_special_ids) + 1:  # Transformers makes up such a vocabulary if it finds no file.
        raise ValueError("it has no vocabulary; a tokenizer.json belongs in the folder")
    return read_tokenizer(words.backend_tokenizer.to_str().encode())


def _padding(config: Any) -> int:
    return getattr(config, "pad_token_id", None) or 0


def _reason(error: Exception) -> str:
    """Return the two most informative lines of a message as one line."""
    return " ".join(" ".join(str(error).split("\n")[:2]).split()) or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from showing bars and from warning of missing weights, which we check."""
    from transformers.utils import logging

    level, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            logging.enable_progress_bar()
