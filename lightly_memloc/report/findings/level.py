"""When a number counts as found."""

# Stricter than 0.05, since every layer is tested.
LEVEL = 0.01
