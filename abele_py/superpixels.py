"""Superpixels, and the model-agnostic explainers that work on them: LIME, KernelSHAP, ANCHOR, LORE."""
