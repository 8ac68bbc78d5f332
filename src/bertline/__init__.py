"""bertline: from raw text to a registered BERT. See README.md for the tour."""

__version__ = "0.1.0"
