"""Metrics as the benchmarks define them, and the scoreboard."""
