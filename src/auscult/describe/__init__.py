"""What a dataset holds, for people: listed, described in the terminal and on a page, verified file by file."""
