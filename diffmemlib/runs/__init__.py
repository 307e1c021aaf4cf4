"""A run from its configuration to its stored result: identity, execution, store, provenance.

May import `training`, `metrics` and what lies below; no experiment.
"""
