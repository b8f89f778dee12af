"""Benchmarks with fixed protocols, run from the command line. An interrupted benchmark can be continued."""
