"""Explainers that change the image and ask again: occlusion, RISE, meaningful perturbation."""
