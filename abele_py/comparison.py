"""One image, many methods: all maps on one scale in one figure, and raw in one file."""
