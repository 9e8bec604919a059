"""What is no test here: the scripts that write golden files in environments of their own."""

collect_ignore_glob = ["make_*.py"]
