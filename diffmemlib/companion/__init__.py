"""What draws the book, and needs its checkout: tables of runs, estimators, figures, claims.

May import everything but `bench`; nothing in the library imports it but the command line.
"""
