"""Networks, called as net(x, timestep) with the DDPM step k of each sample.

May import `randomness`, `files` and `places` alone.
"""
