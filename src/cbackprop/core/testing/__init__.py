"""Hooks by which tests and benchmarks reach compiled loops; the library itself uses none."""
