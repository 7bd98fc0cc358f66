"""Fits a model for the `model` detector to the windows of the past.

The features come from the core, as at serving. Only `fit` imports the libraries of the extra `train`.
"""
