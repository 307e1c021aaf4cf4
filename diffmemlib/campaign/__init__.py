"""A lease of a GPU used to the full: checks, benchmark, runs, and a folder that the next lease goes on from.

May import everything but the command line.
"""
