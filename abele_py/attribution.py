"""METHODS: every explainer that answers with a map, under one signature; ours and two controls among them."""
