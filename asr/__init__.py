"""Compare staged, halfway and end-to-end speech recognition on the same data."""

__version__ = "0.1.0"
