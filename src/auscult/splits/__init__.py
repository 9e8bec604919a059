"""Patients divided into train, val and test: stratified, keyed by id, audited for leakage."""
