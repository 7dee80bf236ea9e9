"""Measure memorisation in self-supervised vision encoders, with lightly."""
