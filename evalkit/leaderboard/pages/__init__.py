"""Boards to the pages of a site; no page computes a number.

``html`` says which pages there are. For each, a module (``index_page``, ``task_list``, ``task_page``, ``model_page``,
``comparison_page``, ``sample_page``) works out what its template in ``reports/templates`` places; a template reads an
entry's own words and numbers by itself. Below them: ``grid`` (what a table is), ``columns`` (how a column is made),
``standing`` (entries in order, addresses of pages), ``listing`` (names and marks of entries), ``headline`` (the large
tables), ``charts``, ``scatter``, ``curve`` and ``picture`` (what is drawn), ``provenance`` (where a run's numbers come
from).
"""
