"""Addresses of Markets."""

from django.urls import path

from markets.views import changes, defaults, history, markets, sheets

app_name = "markets"
urlpatterns = [
    path("", markets.market_list, name="list"),
    path("/edit", markets.market_edit, name="edit"),
    path("/seen", markets.types_seen, name="seen"),
    path("/review", changes.review, name="review"),
    path("/apply", changes.apply, name="apply"),
    path("/enable-all", defaults.enable_all, name="enable_all"),
    path("/disable-all", defaults.disable_all, name="disable_all"),
    path("/history", history.revision_list, name="history"),
    path("/history/<int:number>", history.revision_detail, name="revision"),
    path("/history/<int:number>/restore", history.revision_restore, name="restore"),
    path("/import", sheets.choices_import, name="import"),
    path(".csv", sheets.choices_csv, name="csv"),
]
