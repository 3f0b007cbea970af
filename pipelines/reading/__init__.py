"""Tar to encoded bytes: which samples a rank reads in which order, and what never reaches the decoder."""
