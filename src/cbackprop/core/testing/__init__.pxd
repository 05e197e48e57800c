# Hooks by which tests and benchmarks reach the compiled loops one by one.  Nothing in the library
# imports this folder.
