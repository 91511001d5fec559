"""ANCHOR: the shortest set of features that, kept, keeps the answer (Ribeiro et al. 2018). Knows no images."""
