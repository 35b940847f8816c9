"""The bundle in other hands: each program that takes MONAI bundles, tried for real in a virtual environment of its own.

``make consumers`` runs them all; ``python -m tests.consumers flare`` runs one. They install packages and take minutes,
so that the test suite leaves them out.
"""
