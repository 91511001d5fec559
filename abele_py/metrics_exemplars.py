"""Do exemplars and counter-exemplars tell images apart? 1-NN, beside prototypes chosen by other methods."""
