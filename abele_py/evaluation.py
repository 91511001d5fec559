"""A whole evaluation: random images, progress, resumed where it stopped, summed up with intervals."""
