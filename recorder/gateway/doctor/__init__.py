"""The doctor: looks at all that a gateway stands on and says the mend for each. It changes nothing anywhere.

A check a module: what is read of the set-up goes in, findings come out. `examine` runs them all within a time limit.
"""

from recorder.gateway.doctor.checks import examine
from recorder.gateway.doctor.configuration import read
from recorder.gateway.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine", "read"]
