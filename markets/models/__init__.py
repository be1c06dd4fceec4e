"""What: sports, groups, market types; each tenant's choices, and what they were before."""

from markets.models.catalogue import Catalogue, Group, MarketType, Settlement, Sport
from markets.models.choices import Act, Revision, SeenTypes, TenantMarkets

__all__ = [
    "Act",
    "Catalogue",
    "Group",
    "MarketType",
    "Revision",
    "SeenTypes",
    "Settlement",
    "Sport",
    "TenantMarkets",
]
