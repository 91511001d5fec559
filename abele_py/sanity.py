"""Sanity checks: does an explanation change when the weights of the black box are randomised?"""
