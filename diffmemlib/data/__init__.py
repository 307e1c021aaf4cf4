"""Training data: each module gives a pool of samples and, where it is known, the exact distribution.

May import `metrics`, `training` and what lies below; folders are arguments, or come from `places`.
"""
