"""Numbers and metrics as people read them, the same in the terminal, in text and on every page."""
