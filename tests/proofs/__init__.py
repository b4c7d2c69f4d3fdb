"""Proofs that need more than one example: what money does whatever breaks."""
