"""Tags for the templates of any app."""
