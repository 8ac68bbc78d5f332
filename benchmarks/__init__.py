"""Measurements beside the peers a user would pick instead; never tests. NOTES.md holds what they taught."""
