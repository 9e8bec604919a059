"""What is known of clips, recordings and patients: 1, 0, or NaN for unknown. An unknown never becomes a negative."""

from auscult.labels.targets import clip_targets, patient_targets, recording_targets

__all__ = ["clip_targets", "patient_targets", "recording_targets"]
