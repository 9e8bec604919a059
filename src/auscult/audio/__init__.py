"""From recordings to clips: decode, resample, filter, cut, pad, and the clip store."""
