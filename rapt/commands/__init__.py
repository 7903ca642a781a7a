"""The commands of `rapt`, a module each."""
