"""Explainers that need gradients, on captum: thin adapters from (image, black_box, target) to a map (H, W)."""
