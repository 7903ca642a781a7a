"""Kubeflow components, a folder each: paths and parameters in, one call into `interest`, artifacts out."""
