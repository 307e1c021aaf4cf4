"""Measures of what a model generates and of how it learns: copies, Frechet distance, KL divergence, curvature.

May import `diffusion` and what lies below.
"""
