"""The API group `modelyard.dev`: types, conditions, and the CRDs generated from them.

`v1alpha1` is the only version.
"""
