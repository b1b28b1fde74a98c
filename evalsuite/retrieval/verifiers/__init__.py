"""Verifiers: they score the candidates of a pool, one by one or side by side, and so measure what can be recognised."""
