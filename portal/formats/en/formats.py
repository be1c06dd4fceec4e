"""Times in the staff's panel as everywhere else: sortable by eye, with the zone written."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i T"
