"""Prompts that maximise a class or a neural feature of a classifier (DiffExplainer, arXiv 2404.02618)."""
