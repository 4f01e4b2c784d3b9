"""Acoustic models: audio in, Emissions out."""
