"""What methods that need PyTorch share: devices and pretrained models, batches, training with checkpoints, LoRA."""
