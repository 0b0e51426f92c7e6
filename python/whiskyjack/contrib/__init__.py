"""Whiskyjack at home in frameworks. Each module here imports its framework; nothing else imports the modules."""
