"""What the machine offers: threads, memory, its BLAS, and the limits of a container."""
