"""OmniLife's backend: habits, kept day by day."""
