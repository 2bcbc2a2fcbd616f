"""The decisions: pure functions from what is seen to what should be done.

Nothing here talks to Kubernetes, reads a clock, draws a random number or does any I/O. Begin with
:mod:`kubestudy.core.decide`.
"""
