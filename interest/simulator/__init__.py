"""A world with known latents: its viewers, its videos as real files, its best possible predictor."""
