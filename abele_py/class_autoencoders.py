"""One small autoencoder per class, and one for all, by which IM1 and IM2 judge counter-exemplars."""
