"""Numbers that papers report, from files to rows, with what does not fit in them."""
