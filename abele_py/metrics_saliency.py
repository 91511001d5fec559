"""Is a saliency map faithful, stable, simple? Metrics of many maps of one image at once."""
