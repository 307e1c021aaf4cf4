"""Times at which curves cross a level, and how such times scale.

May import `randomness`, `files` and `places` alone.
"""
