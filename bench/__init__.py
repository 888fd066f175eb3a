"""Measurements that are made on purpose: each prints what it does and how long it will take."""
