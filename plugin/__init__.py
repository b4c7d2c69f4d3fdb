"""Refund and cancel Shopify orders from a CRM, by actions written in YAML."""
