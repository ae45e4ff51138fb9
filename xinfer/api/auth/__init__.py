"""Who may call what: one decision for every route."""
