"""Rapt on Kubernetes from one command: cluster, images, what is needed underneath, the chart."""
