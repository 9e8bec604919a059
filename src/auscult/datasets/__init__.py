"""From a raw folder to checked tables, and what is said of a dataset."""
