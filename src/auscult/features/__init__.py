"""From clips to spectrograms, and the feature store."""
