"""Are counter-exemplars valid, near, plausible, diverse?"""
