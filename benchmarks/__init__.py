"""The project's own benchmark: what a training step costs here, beside the limit and the peers.

Run ``python -m benchmarks`` from the root of the checkout (or ``python benchmarks/run.py`` from
anywhere); README.md says what is measured and how.  It imports cbackprop only as a user does (but
growth.py asks the core's plan how many pieces a batch has), and is never imported by it.
"""
