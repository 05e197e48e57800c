"""The two element types of the core: every routine is written once for both."""

ctypedef fused real:
    float
    double
