"""Benchmarks: each prints its ratio to the direct way of doing the same, measured in the same run.

May import `experiments` and what lies below.
"""
