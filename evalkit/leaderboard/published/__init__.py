"""Numbers that papers report, from files to rows of a board, with what does not fit in them.

``papers`` is the schema of a file, ``records`` what its rows become; ``paperfiles`` reads the files, ``named`` checks
what they name, ``checks`` what their numbers say of each other; ``reported`` makes the rows of all that.
"""
