"""Fetches inputs into the store and verifies them against the lock.

One module a transport (`python_wheel`, `go_module`, `debian_package`, `local_path`), each asking
the ecosystem's ordinary client, so that a person's mirrors, proxies and credentials work unchanged.
"""

from orchestrator.inputs.ensure import Inputs, ensure
from orchestrator.inputs.transport import Clients, Events, Silent

__all__ = ["Clients", "Events", "Inputs", "Silent", "ensure"]
