"""MLflow: the only importer of it, and only inside the functions that talk to a store."""

from auscult.tracking.live import live
from auscult.tracking.store import TrackingUnavailableError, init_store
from auscult.tracking.track import track

__all__ = ["TrackingUnavailableError", "init_store", "live", "track"]
