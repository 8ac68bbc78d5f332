"""BERT in plain PyTorch, and its exact round trip with Hugging Face transformers."""
