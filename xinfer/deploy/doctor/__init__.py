"""What `xinference doctor` looks at, and what it makes of that."""

from xinfer.deploy.doctor.examination import examine
from xinfer.deploy.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
