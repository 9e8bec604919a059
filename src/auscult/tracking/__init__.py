"""MLflow: the only importer of it, and only inside the functions that talk to a store."""

from auscult.tracking.journal import live
from auscult.tracking.run import run
from auscult.tracking.store import TrackingUnavailableError, init_store

__all__ = ["TrackingUnavailableError", "init_store", "live", "run"]
