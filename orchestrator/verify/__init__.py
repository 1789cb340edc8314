"""Verification of finished folders by a stranger: what holds, who says so, what a policy demands.

Needs the folder alone: no network, engine, store or checkout. Whatever can be worked out again
from the bytes is; what cannot is told apart by who signed it. Nothing here trusts a stored verdict.
"""
