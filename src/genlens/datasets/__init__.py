"""Readers: data on disk -> ConceptTable."""
