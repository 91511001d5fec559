"""Does the surrogate say what the black box says, where it was not fitted?"""
