"""Labels for images that have none: found by an annotator, calibrated on a few made by hand, their errors kept."""
