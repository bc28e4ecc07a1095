"""What ``evalkit check`` embeds, and what it looks at.

In: an embedder. Out: findings: what it does that would bend a number. Must not know: ``suites``, ``scoring``,
``runs``.
"""
