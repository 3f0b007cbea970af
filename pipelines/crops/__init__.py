"""Decoded picture to crops: drawn parameters, and each way of computing them."""
