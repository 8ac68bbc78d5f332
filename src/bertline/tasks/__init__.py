"""Downstream tasks: catalogue, builders, and features (text to fixed-shape tensors)."""
