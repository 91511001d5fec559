"""Explain single decisions of image classifiers with images: ABELE on today's libraries."""
