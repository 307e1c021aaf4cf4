"""Figures of the book: each function takes stored results and returns a figure and the table it was drawn from."""
