"""The machine: its threads, its memory, its BLAS, and the limits of a container."""
