"""What the portal is measured against: as little as answers the same question."""
