"""One picture at a time: what format its bytes are, what is wrong with them, and how that is mended."""
