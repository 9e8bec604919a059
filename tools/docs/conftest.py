"""What pytest leaves out here: griffe is part of the site's environment alone."""

collect_ignore = ["doctests.py"]
