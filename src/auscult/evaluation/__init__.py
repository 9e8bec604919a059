"""Evaluation of trained models: predictions, metrics, outcomes, figures. The only package that reads the test set."""
