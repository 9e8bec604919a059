"""Training: one readable loop, checkpoints that survive any kill, and a model that carries all it needs."""
