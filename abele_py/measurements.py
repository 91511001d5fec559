"""What is measured of one image, part by part, as rows of figures."""
