"""lightly's published examples as they are written, with smaller sizes.

The classes follow https://github.com/lightly-ai/lightly, examples/pytorch_lightning:
the names of the parts, how views are taken from the batch, and how they pass through
the backbone are theirs.
"""
