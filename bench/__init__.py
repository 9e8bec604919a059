"""Benchmarks: our work beside the same work done by a peer, in one run. `python -m bench` runs them all."""
