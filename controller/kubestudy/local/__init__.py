"""A Study on one machine: the same manifest and the same core, with processes in place of pods.

:mod:`~kubestudy.local.store` takes the place of the API server, :mod:`~kubestudy.local.processes`
that of the Job controller and the kubelet, and :mod:`~kubestudy.local.engine` that of the
controller's loop. All state is files, so that a runner may be killed at any moment.
"""
