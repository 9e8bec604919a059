"""Patients divided into train, val and test: stratified, keyed by id, audited for leakage."""

from auscult.splits.make import run

__all__ = ["run"]
