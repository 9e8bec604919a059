"""Judging a trained model: probabilities, metrics with intervals, outcomes, figures. Alone in reading the test part."""
