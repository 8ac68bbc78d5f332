"""One trainer for the four kinds of head."""
