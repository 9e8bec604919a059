"""The project as a whole: what would run again, whether a result is whole, whether all that it needs is there."""
