"""Annotators: whatever says which concepts an image shows, behind one small protocol."""
