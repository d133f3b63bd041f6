"""Shared code of all modules on PyTorch: its import, the choice of a device, pretrained models, memory errors."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xclassic.parallel import fork_safe_lock

INSTALL = "pip install 'xclassic[neural]'"
DRAWING = fork_safe_lock()  # Held while the generators of PyTorch, which all threads share, draw from a seed.


def import_torch(what: str) -> Any:
    """Return the module ``torch``.

    Parameters
    ----------
    what : str
        Name of what needs it, for the message.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{what} needs PyTorch, which is not installed: {INSTALL}.") from error
    return torch


def import_transformers(what: str) -> Any:
    """Return the module ``transformers``; see `import_torch`, which it needs too."""
    import_torch(what)
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"{what} needs the package transformers, which is not installed: {INSTALL}.") from error
    return transformers


def choose_device(device: str | None) -> Any:
    """Return the device with a name; by default the GPU if there is one.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    import torch

    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} is not there: {error}. Use 'cpu', or None to choose.") from error
    return chosen


def has_bfloat16(device: Any) -> bool:
    """Return whether computing in bfloat16 pays on a device, namely on GPUs that support it."""
    import torch

    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def seed_generators(seed: int, device: Any) -> None:
    """Seed the generators of the CPU and of one device; ``torch.manual_seed`` would seed the ones of all devices."""
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(seed: int, device: Any) -> Iterator[None]:
    """Draw from a seed within the block, and leave the user's random state unchanged; blocks of threads take turns."""
    import torch

    with DRAWING, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_generators(seed, device)
        yield


def to_device(array: NDArray[Any], device: Any) -> Any:
    """Return an array as a tensor on a device; a GPU fetches it while the host continues."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def load_pretrained(loader: Any, model: str, **options: Any) -> Any:
    """Return ``loader.from_pretrained(model)``, or raise an error of one clear line.

    Parameters
    ----------
    loader : class of transformers
        A class such as ``AutoModel`` or ``AutoTokenizer``.
    model : str
        A folder, or the id of a model on the Hugging Face hub, which is taken from its cache or downloaded.
    **options
        Passed on to ``from_pretrained``.

    Raises
    ------
    OSError
        If the folder holds no model or no weights, or the hub has no such model or cannot be reached.
    ValueError
        If the model is of another architecture.
    """
    folder = Path(model)
    is_folder = folder.is_dir()
    if not is_folder and (folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1):
        raise OSError(f"There is no folder {model}; pass a folder with a model, or the id of one on the hub.")
    try:
        source = model if is_folder or _hub_responds(int(time.monotonic() // 60)) else _cached(model)
        with no_bars() if Path(source).is_dir() else nullcontext():
            return loader.from_pretrained(source, **options)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # A damaged file of a model raises errors of many kinds.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if is_folder:
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(f"{loader.__name__} cannot load the folder {model}: {reason}") from error
        raise OSError(
            f"{loader.__name__} cannot load {model!r}: it is not a folder here, and the Hugging Face hub does not give "
            f"it ({reason}). Check the name, or download the model where there is a network and pass its folder."
        ) from error


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for a folder; bars of downloads cannot be told apart."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _cached(model: str) -> str:
    """Return the folder in which the hub's own client has cached a model."""
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(model, local_files_only=True))
    except Exception as error:  # Not only is a missing file possible: a name can be malformed.
        raise OSError("it cannot be reached, and no earlier download is kept") from error


@lru_cache(maxsize=1)
def _hub_responds(minute: int) -> bool:
    """Return within seconds whether the hub can be reached; its own client retries for most of a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # Any error of the client below means that the hub does not respond.
        return False
    return True


@contextmanager
def memory_errors(knobs: str) -> Iterator[None]:
    """Turn a GPU's out-of-memory error into a MemoryError that names the parameters to reduce.

    Neither this error nor an interrupt keeps tensors of the block alive. Otherwise a stored error, such as the last one
    in a notebook, would hold the memory that a smaller batch needs.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, KeyboardInterrupt) as error:
        earlier: BaseException | None = error
        while earlier is not None:
            traceback.clear_frames(earlier.__traceback__)
            earlier = earlier.__cause__ or earlier.__context__
        gc.collect()
        torch.cuda.empty_cache()
        if isinstance(error, KeyboardInterrupt):
            raise
        raise MemoryError(f"The GPU ran out of memory: {knobs}. ({str(error).splitlines()[0]})") from error
