"""Shared code of the methods on PyTorch: devices and pretrained models, batches, training with checkpoints, LoRA."""
