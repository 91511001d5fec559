"""LORE: our surrogate and rules on present and absent features (Guidotti et al. 2018). Knows no images."""
