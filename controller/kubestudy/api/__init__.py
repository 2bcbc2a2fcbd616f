"""The Kubernetes API of kubestudy: the kinds Study and Trial, and what is wrong with an object.

This package is the only home of field names. The custom resource definitions in
``manifests/crds`` are generated from its models (:mod:`kubestudy.api.crd`).
"""
