"""The networks: one encoder a modality, the viewer's sequence, the fusion."""
