"""Training data: each module gives a pool of samples and, where it is known, the exact law."""
