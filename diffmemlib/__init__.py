"""Training-time scales of diffusion models: when samples become good, and when they become copies.

Companion library of Bonnaire, Urfin, Biroli, Mezard, "Why Diffusion Models Don't Memorize" (NeurIPS 2025).
Notation is the paper's: n training points, W the width of a network, tau the number of training steps,
t the Ornstein-Uhlenbeck time of the forward process, Delta_t = 1 - exp(-2 t).
"""

__version__ = "0.1.0"
