"""The supervisor: desired state, the plan that leads there, and its effects."""
