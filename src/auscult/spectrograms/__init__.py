"""From clips to log-mel spectrograms, and the store that holds them."""
