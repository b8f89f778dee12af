"""Benchmarks with a published protocol, run like everything else: resumable, from the command line."""
