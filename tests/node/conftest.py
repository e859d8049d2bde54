"""Properties here run whole nodes: an example takes as long as it takes, the number of examples is the bound."""

from hypothesis import settings

settings.register_profile("node", deadline=None, max_examples=50)
settings.load_profile("node")
