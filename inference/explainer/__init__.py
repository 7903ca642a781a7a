"""Takes predictions apart: which term, which past event, where in the frames."""
