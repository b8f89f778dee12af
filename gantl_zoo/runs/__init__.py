"""Training, transfer, evaluation and the other verbs, and the run folder that they write."""
