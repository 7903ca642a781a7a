"""Step `render_videos`: a simulated world's videos as real files."""
