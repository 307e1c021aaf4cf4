"""The training loop and what keeps it whole: checkpoints, progress, stopping, several networks or processes at once.

May import `diffusion` and what lies below.
"""
