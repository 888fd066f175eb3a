"""Programs for contributors: a cluster from nothing, the images, the install.

They run on a bare machine before any virtual environment exists, so nothing but the standard
library is imported here.
"""
