"""Findings about a classifier that need no data set: spurious features, biases."""
