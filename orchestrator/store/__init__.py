"""Content-addressed store of what was fetched and made; see `orchestrator.store.store`."""

from containers.host.durable import remove_folder
from orchestrator.store.blobs import BLOB_TIME, DamagedBlob
from orchestrator.store.locks import HeldError
from orchestrator.store.store import Store

__all__ = ["BLOB_TIME", "DamagedBlob", "HeldError", "Store", "remove_folder"]
