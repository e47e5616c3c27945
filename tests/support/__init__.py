"""What several tests need and the package does not offer: a forwarding proxy, certificates."""
