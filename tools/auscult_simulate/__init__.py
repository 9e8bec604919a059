"""Simulated lung sounds with known events, written in the layouts of real datasets."""
