"""What can go wrong between the operator and the API server, by name."""

from __future__ import annotations

from wire.errors import WireError


class KubernetesError(WireError):
    """Root of the API server's failures, and any answer of it that has no name of its own."""


class KubernetesUnset(KubernetesError):
    """The operator is not in a pod with a service account's token."""


class KubernetesUnavailable(KubernetesError):
    """The API server does not answer, or only with server errors."""


class KubernetesDenied(KubernetesError):
    """The API server does not accept the token, or not for this."""


class ObjectMissing(KubernetesError):
    """There is no object of that name, or no such kind."""


class ObjectChanged(KubernetesError):
    """Somebody else has written, made or removed the object meanwhile."""


class ObjectRefused(KubernetesError):
    """The API server does not take the object as it is written."""


class StableMissing(KubernetesError):
    """The InferenceService that serves everybody is not there, or has no container to take for a model."""
