"""The project in operation: what would run again, whether a result is whole, data and cache in buckets, the cluster."""
