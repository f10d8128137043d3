"""A double of Orange's Cloud France API, written from the notes on the protocol alone.

It shares no code with the client. What nobody knows of the service is an option.
"""

from __future__ import annotations

from tests.doubles.orange.double import OrangeDouble
from tests.doubles.orange.options import Options

__all__ = ["Options", "OrangeDouble"]
