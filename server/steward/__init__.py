"""The relay's own duties in its tenants' documents, done by a process beside it that is a peer like any other.

The relay's side: ``supervision``, ``process``. The steward's own: ``__main__``, ``attendance``, ``duties``; these load
documents, so nothing of the serving process may import them.
"""
