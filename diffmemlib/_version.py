"""The version of the library, apart so that records can name it without importing the rest."""

__version__ = "0.2.0"
