"""A gate's verdicts in the forms that others read. No arithmetic: what is shown was found before."""
