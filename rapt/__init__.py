"""The operator's surface: the `rapt` command, settings, the laptop stack."""
