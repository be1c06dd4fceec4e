"""What the machine door asks: which codes are off for a tenant. No Django here, nor in its path.

The answer for a tenant stands until one of two announcements on `portal_changes` overrules it:
`markets:<tenant id>:<revision>` (a change of that tenant's choices) or `catalogue:1:<version>`
(a change of the catalogue, which may concern everybody). Revision 0 is the beginning, in which
there is no row yet: everything in the catalogue is on, but for what was taken out of it.
"""

# One argument: an array of tenant ids. Of each that there is: its id, its revision, the version
# of the catalogue, and the disabled codes in the order of their bytes. All from one snapshot.
DISABLED_CODES = """
SELECT tenant.id,
       coalesce(chosen.version, 0),
       coalesce((SELECT version FROM markets_catalogue), 0),
       ARRAY(
           SELECT type.code::text
           FROM markets_markettype AS type
           WHERE NOT markets_is_on(
               chosen.default_on, chosen.overrides, type.code, type.retired_at
           )
           ORDER BY type.code COLLATE "C"
       )
FROM accounts_tenant AS tenant
LEFT JOIN markets_tenantmarkets AS chosen ON chosen.tenant_id = tenant.id
WHERE tenant.id = ANY(%s)
"""
