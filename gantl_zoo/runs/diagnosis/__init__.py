"""What a run's records say about it, in plain words. Nothing here imports torch."""
