"""A fine-tuned model that answers people: text in, labels, tags, spans or scores out."""
