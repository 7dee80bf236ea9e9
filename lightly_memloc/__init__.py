"""Measure memorisation in self-supervised vision encoders, with lightly."""

import lazy_loader

# torch, lightly and Lightning take seconds to import: names load when first used, so
# that the command line answers at once.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
