"""A first description of an unknown folder: what its tables, names and annotation files seem to say, and how surely."""
