"""Masked language model and next-sentence prediction: examples, warm start, trainer."""
