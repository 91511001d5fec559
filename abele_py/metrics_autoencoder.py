"""Is an autoencoder good enough to explain with? Reconstruction, labels kept, codes against the prior."""
