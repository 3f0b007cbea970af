"""How good features are, without training on them."""
