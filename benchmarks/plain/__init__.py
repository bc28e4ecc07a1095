"""Model families driven in the plain way: transformers' own classes, as a script of a user has them."""
