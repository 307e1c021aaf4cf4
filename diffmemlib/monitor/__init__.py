"""Watch a training run of your own: how many samples are copies, and whether it is time to stop.

Import public names from ``diffmemlib``.
"""
