"""Benchmarks: what kubestudy costs, beside the least that the same work can cost."""
